/*
 * replay.c
 *		Runs a fuzzer over inputs that were kept, without libFuzzer: every
 *		file of the folder that is the argument, once.
 *
 * Prints TAP: one test for the folder, which fails at the first finding, with
 * the file's name.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "fuzz.h"

extern const char *__asan_default_options(void);
extern const char *__ubsan_default_options(void);

static char current[4096];

const char *
__asan_default_options(void)
{
	return "abort_on_error=1";
}

const char *
__ubsan_default_options(void)
{
	return "abort_on_error=1:print_stacktrace=1";
}

static void
on_abort(int signal)
{
	char		line[4200];
	int			len = snprintf(line, sizeof line, "not ok 1 - %s\n1..1\n", current);

	if (write(STDOUT_FILENO, line, len) != len)
		_exit(2);
	_exit(signal);
}

static void
fail(const char *what)
{
	printf("not ok 1 - %s: %s: %s\n1..1\n", what, current, strerror(errno));
	exit(1);
}

/* In a block of just that size, so that a read beyond the input is seen. */
static void
replay(void)
{
	FILE	   *file = fopen(current, "rb");
	uint8_t    *data = malloc(1 << 20);
	size_t		size;

	if (file == NULL || data == NULL)
		fail("cannot read");
	size = fread(data, 1, 1 << 20, file);
	fclose(file);
	data = realloc(data, size + !size);
	LLVMFuzzerTestOneInput(data, size);
	free(data);
}

static int
replay_folder(const char *folder)
{
	DIR		   *dir = opendir(folder);
	struct dirent *entry;
	int			count = 0;

	if (dir == NULL && errno == ENOENT)
		return 0;
	if (dir == NULL)
		fail(folder);
	while ((entry = readdir(dir)) != NULL)
	{
		if (entry->d_name[0] == '.')
			continue;
		snprintf(current, sizeof current, "%s/%s", folder, entry->d_name);
		replay();
		count++;
	}
	closedir(dir);
	return count;
}

int
main(int argc, char **argv)
{
	const char *folder = argc > 1 ? argv[1] : ".";
	int			count;

	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGABRT, on_abort);
	count = replay_folder(folder);
	if (count == 0)
		printf("ok 1 - %s # SKIP no inputs were kept\n1..1\n", folder);
	else
		printf("ok 1 - %s: %d inputs\n1..1\n", folder, count);
	return 0;
}
