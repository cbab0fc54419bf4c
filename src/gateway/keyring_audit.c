/*
 * keyring_audit.c
 *		relay_gateway keyring audit-init
 */
#include "keyring_audit.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <unistd.h>

#include "keyring_file.h"
#include "ratchet.h"

static bool
fail(const char *path, const char *why)
{
	fprintf(stderr, "the ratchet %s cannot be written: %s\n", path, why);
	return false;
}

static bool
print_key(const RgRatchet *ratchet)
{
	char		key[RG_RATCHET_KEY_TEXT_SIZE];
	bool		printed;

	rg_ratchet_format_key(ratchet, key);
	setvbuf(stdout, NULL, _IONBF, 0);
	printed = printf("%s\n", key) > 0 && fflush(stdout) == 0;
	sodium_memzero(key, sizeof key);
	return printed;
}

/* A ratchet whose first key nobody has proves nothing. */
static bool
publish(const char *path, const RgRatchet *ratchet, RgRingText *text)
{
	text->len = rg_ratchet_format(ratchet, text->data);
	if (!rg_keyring_file_publish(path, text))
		return fail(path, strerror(errno));
	if (print_key(ratchet))
		return true;
	unlink(path);
	return fail(path, "stdout, where its first key belongs, is closed or full");
}

bool
rg_keyring_audit_init(const char *path)
{
	RgRatchet	ratchet;
	RgRingText	text;
	bool		made;

	if (!rg_ratchet_new(&ratchet) || !rg_ring_text_new(&text, RG_RATCHET_TEXT_SIZE))
		return fail(path, "no guarded memory");
	made = publish(path, &ratchet, &text);
	rg_ratchet_wipe(&ratchet);
	rg_ring_text_free(&text);
	if (made)
		fputs("This is the only time that this key is shown. Keep it away from this host and from\n"
			  "whoever administers it: ops/audit-verify checks the seals of the audit log with it.\n",
			  stderr);
	return made;
}
