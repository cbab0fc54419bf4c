/*
 * keyring.c
 *		relay_gateway keyring …
 */
#include <getopt.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "commands.h"
#include "keyring_audit.h"
#include "keyring_fetch.h"
#include "keyring_file.h"
#include "ring_line.h"

#define USAGE 2					/* exit status */

/* Options, and which of them a command knows */
enum
{
	ACTIVE = 1, RETIRED = 2, FORCE = 4, TIMEOUT = 8
};

typedef struct Options
{
	int			given;
	int			timeout;		/* seconds */
} Options;

/* operands are what stands behind the options. */
typedef struct Command
{
	const char *name;
	int			options;
	int			min;
	int			max;
	int			(*run) (char **operands, const Options *options);
} Command;

static int
status(bool succeeded)
{
	return succeeded ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* From 1 to max; 0 for anything else. */
static int
parse_number(const char *text, int max)
{
	char	   *end;
	long		number = strtol(text, &end, 10);

	return *text >= '1' && *text <= '9' && *end == '\0' && number <= max ? number : 0;
}

static bool
fail(const char *path, const char *error)
{
	return rg_keyring_file_fail(path, "is left as it is", error);
}

static void
tell(const char *path, const char *what, uint32_t id)
{
	printf("key %u of %s %s\n", id, path, what);
}

static bool
print(const RgRingText *text)
{
	return fwrite(text->data, 1, text->len, stdout) == text->len && fflush(stdout) == 0;
}

static int
run_new(char **operands, const Options *options)
{
	char		error[128];
	RgRingText	text;
	bool		made;

	(void) options;
	if (!rg_ring_text_first(&text, error, sizeof error))
		return status(rg_keyring_file_fail(operands[0] ? operands[0] : "to stdout",
										   "cannot be made", error));
	setvbuf(stdout, NULL, _IONBF, 0);
	if (operands[0] != NULL)
		made = rg_keyring_file_create(operands[0], &text);
	else
		made = print(&text) || rg_keyring_file_fail("to stdout", "cannot be written", "it is closed or full");
	rg_ring_text_free(&text);
	return status(made);
}

/* A change of the ring's text; says afterwards which key it was about. */
typedef bool (*Edit) (RgSlice text, uint32_t *id, const Options *options, RgRingText *out,
					  char *error, size_t size);

static bool
edit_add(RgSlice text, uint32_t *id, const Options *options, RgRingText *out,
		 char *error, size_t size)
{
	return rg_ring_text_add(text, options->given & ACTIVE, id, out, error, size);
}

static bool
edit_promote(RgSlice text, uint32_t *id, const Options *options, RgRingText *out,
			 char *error, size_t size)
{
	return rg_ring_text_promote(text, *id, options->given & RETIRED, out, error, size);
}

static bool
edit_retire(RgSlice text, uint32_t *id, const Options *options, RgRingText *out,
			char *error, size_t size)
{
	(void) options;
	return rg_ring_text_retire(text, *id, out, error, size);
}

static bool
edit_file(const RgKeyringFile *file, Edit edit, uint32_t *id, const Options *options)
{
	char		error[128];
	RgRingText	text;
	bool		replaced;

	if (!edit(rg_slice(file->text.data, file->text.len), id, options, &text, error, sizeof error))
		return fail(file->path, error);
	replaced = rg_keyring_file_replace(file, &text);
	rg_ring_text_free(&text);
	return replaced;
}

static int
run_edit(const char *path, Edit edit, uint32_t id, const Options *options, const char *done)
{
	RgKeyringFile file;
	bool		edited;

	if (!rg_keyring_file_open(&file, path))
		return EXIT_FAILURE;
	edited = edit_file(&file, edit, &id, options);
	rg_keyring_file_close(&file);
	if (edited)
		tell(path, done, id);
	return status(edited);
}

static int
run_add(char **operands, const Options *options)
{
	return run_edit(operands[0], edit_add, 0, options, options->given & ACTIVE
					? "is new and active; promote makes it primary" : "is new and primary");
}

static int
refuse_id(const char *word)
{
	fprintf(stderr, "%s is no key id; relay_gateway keyring list FILE shows them\n", word);
	return EXIT_FAILURE;
}

static int
run_promote(char **operands, const Options *options)
{
	int			id = parse_number(operands[1], INT_MAX);

	return id == 0 ? refuse_id(operands[1])
		: run_edit(operands[0], edit_promote, id, options, "is primary");
}

static int
run_retire(char **operands, const Options *options)
{
	int			id = parse_number(operands[1], INT_MAX);

	return id == 0 ? refuse_id(operands[1])
		: run_edit(operands[0], edit_retire, id, options, "is retired");
}

static void
print_key(const RgRingKey *key)
{
	printf("%u\t%s\t%s\n", key->id, rg_ring_state_name(key->state),
		   key->created[0] ? key->created : "-");
}

static int
run_list(char **operands, const Options *options)
{
	char		error[128];
	RgRing	   *ring = rg_keyring_file_parse(operands[0], error, sizeof error);

	(void) options;
	if (ring == NULL)
		return status(rg_keyring_file_fail(operands[0], "cannot be used", error));
	for (int i = 0; i < ring->nkeys; i++)
		print_key(&ring->keys[i]);
	rg_ring_free(ring);
	return EXIT_SUCCESS;
}

static int
run_fetch(char **operands, const Options *options)
{
	return status(rg_keyring_fetch(operands[0], operands + 1, options->timeout,
								   options->given & FORCE));
}

static int
run_audit_init(char **operands, const Options *options)
{
	(void) options;
	return status(rg_keyring_audit_init(operands[0]));
}

static const Command commands[] = {
	{"new", 0, 0, 1, run_new},
	{"add", ACTIVE, 1, 1, run_add},
	{"promote", RETIRED, 2, 2, run_promote},
	{"retire", 0, 2, 2, run_retire},
	{"list", 0, 1, 1, run_list},
	{"fetch", FORCE | TIMEOUT, 2, INT_MAX, run_fetch},
	{"audit-init", 0, 1, 1, run_audit_init},
};

static const Command *
find_command(const char *name)
{
	for (size_t i = 0; name != NULL && i < sizeof commands / sizeof commands[0]; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/*
 * Reads the options; those of fetch stand before its operands, for what follows
 * is another program's.  False for one that the command does not know.
 */
static bool
parse_options(const Command *command, int argc, char **argv, Options *options)
{
	static const struct option known[] = {
		{"active", no_argument, NULL, ACTIVE},
		{"retired", no_argument, NULL, RETIRED},
		{"force", no_argument, NULL, FORCE},
		{"timeout", required_argument, NULL, TIMEOUT},
		{NULL, 0, NULL, 0}
	};
	int			option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, command->run == run_fetch ? "+" : "", known, NULL)) != -1)
	{
		if ((option & command->options) != option)
			return false;
		options->given |= option;
		if (option == TIMEOUT && (options->timeout = parse_number(optarg, 3600)) == 0)
			return false;
	}
	return true;
}

/* Nobody but the user's own screen gets at what these hold. */
int
rg_keyring_command(int argc, char **argv)
{
	const Command *command = find_command(argv[0]);
	Options		options = {.timeout = 60};
	int			operands;

	(void) prctl(PR_SET_DUMPABLE, 0);
	if (command == NULL || !parse_options(command, argc, argv, &options))
		return USAGE;
	operands = argc - optind;
	if (operands < command->min || operands > command->max)
		return USAGE;
	return command->run(argv + optind, &options);
}
