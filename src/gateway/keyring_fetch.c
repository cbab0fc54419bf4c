/*
 * keyring_fetch.c
 *		relay_gateway keyring fetch
 */
#include "keyring_fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "keyring_file.h"

#define CANNOT_RUN 127			/* exit status, as a shell's */
#define GRACE_MS 2000			/* from SIGTERM to SIGKILL */

/* A command that is running, and until when it may. */
typedef struct Command
{
	const char *name;
	pid_t		pid;
	int			output;
	int64_t		deadline;
} Command;

static bool
fail(const Command *command, const char *why)
{
	fprintf(stderr, "%s: %s\n", command->name, why);
	return false;
}

static int
left(int64_t deadline)
{
	int64_t		ms = (deadline - rg_now()) / 1000;

	return ms > 0 ? (int) ms : 0;
}

/* In the child: stdin and stderr are the user's. */
static void
become(char **words, int output, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() == parent && dup2(output, STDOUT_FILENO) >= 0)
		execvp(words[0], words);
	fprintf(stderr, "%s cannot be run: %s\n", words[0], strerror(errno));
	_exit(CANNOT_RUN);
}

static bool
start(Command *command, char **words, int seconds)
{
	pid_t		parent = getpid();
	int			ends[2];

	command->name = words[0];
	command->deadline = rg_now() + (int64_t) seconds * 1000000;
	if (pipe2(ends, O_CLOEXEC) != 0)
		return fail(command, strerror(errno));
	command->output = ends[0];
	signal(SIGCHLD, SIG_DFL);	/* ignored, it would hide how the command
								 * ended */
	command->pid = fork();
	if (command->pid == 0)
		become(words, ends[1], parent);
	close(ends[1]);
	if (command->pid > 0)
		return true;
	close(ends[0]);
	return fail(command, strerror(errno));
}

/* Reads to the end of the output. */
static bool
read_output(const Command *command, RgRingText *text)
{
	struct pollfd output = {.fd = command->output,.events = POLLIN};

	for (;;)
	{
		size_t		room = RG_RING_MAX_TEXT + 1 - text->len;
		int			ready = poll(&output, 1, left(command->deadline));
		ssize_t		got;

		if (ready == 0)
			return fail(command, "it takes too long");
		if (ready < 0)
			continue;
		got = read(command->output, text->data + text->len, room);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return fail(command, strerror(errno));
		if (got == 0)
			return true;
		text->len += got;
		if (text->len > RG_RING_MAX_TEXT)
			return fail(command, "it prints more than 64 kB");
	}
}

/* Whether it has ended by then; status is its exit status. */
static bool
await(pid_t pid, int64_t deadline, int *status)
{
	while (waitpid(pid, status, WNOHANG) == 0)
	{
		if (left(deadline) == 0)
			return false;
		poll(NULL, 0, 10);
	}
	return true;
}

static void
end(const Command *command)
{
	int			status;

	kill(command->pid, SIGTERM);
	if (await(command->pid, rg_now() + GRACE_MS * 1000, &status))
		return;
	kill(command->pid, SIGKILL);
	waitpid(command->pid, &status, 0);
}

static bool
check_status(const Command *command, int status)
{
	char		why[64];

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return true;
	if (WIFEXITED(status))
		snprintf(why, sizeof why, "it ended with status %d", WEXITSTATUS(status));
	else
		snprintf(why, sizeof why, "it was ended by signal %d", WTERMSIG(status));
	return fail(command, why);
}

static bool
finish(const Command *command, bool read)
{
	int			status;

	close(command->output);
	if (read && await(command->pid, command->deadline, &status))
		return check_status(command, status);
	end(command);
	return read ? fail(command, "it takes too long") : false;
}

static bool
run(char **words, int seconds, RgRingText *text)
{
	Command		command;

	return start(&command, words, seconds) && finish(&command, read_output(&command, text));
}

/* What the present file holds, to be kept. */
static bool
check_covers(const char *path, const RgRing *fresh, const RgRingText *present)
{
	char		error[128];
	RgRing	   *former = rg_ring_parse(rg_slice(present->data, present->len), error, sizeof error);
	bool		covers;

	if (former == NULL)
	{
		rg_keyring_file_fail(path, "is no ring at present", error);
		return false;
	}
	covers = rg_ring_covers(fresh, former, error, sizeof error) ||
		rg_keyring_file_fail(path, "is left as it is, --force replaces it", error);
	rg_ring_free(former);
	return covers;
}

static bool
replace(const char *path, const RgRing *fresh, const RgRingText *text, bool force)
{
	RgKeyringFile file;
	bool		replaced;

	if (!rg_keyring_file_open(&file, path))
		return false;
	replaced = (force || check_covers(path, fresh, &file.text)) &&
		rg_keyring_file_replace(&file, text);
	rg_keyring_file_close(&file);
	return replaced;
}

static bool
install(const char *path, const RgRing *fresh, const RgRingText *text, bool force)
{
	struct stat status;

	if (lstat(path, &status) != 0 && errno == ENOENT)
		return rg_keyring_file_create(path, text);
	return replace(path, fresh, text, force);
}

static bool
install_text(const char *path, const char *command, const RgRingText *text, bool force)
{
	char		error[128];
	RgRing	   *fresh = rg_ring_parse(rg_slice(text->data, text->len), error, sizeof error);
	bool		installed;

	if (fresh == NULL)
	{
		fprintf(stderr, "what %s prints is no key ring: %s\n", command, error);
		return false;
	}
	installed = install(path, fresh, text, force);
	rg_ring_free(fresh);
	return installed;
}

static void
warn_of_disk(const char *path)
{
	if (!rg_keyring_file_in_memory(path))
		fprintf(stderr, "warning: %s is on a disk, where keys can be found later; a tmpfs such as /run forgets them\n", path);
}

bool
rg_keyring_fetch(const char *path, char **command, int seconds, bool force)
{
	RgRingText	text;
	bool		installed;

	if (!rg_ring_text_new(&text, RG_RING_MAX_TEXT + 1))
		return rg_keyring_file_fail(path, "cannot be fetched", "no guarded memory");
	installed = run(command, seconds, &text) && install_text(path, command[0], &text, force);
	rg_ring_text_free(&text);
	if (installed)
		warn_of_disk(path);
	return installed;
}
