/*
 * keyring_new.c
 *		relay_gateway keyring new [FILE]
 */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "ring.h"

#define BASE64_LEN sodium_base64_ENCODED_LEN(RG_KEY_BYTES, sodium_base64_VARIANT_ORIGINAL)

static void
make_line(char *line, size_t size)
{
	unsigned char key[RG_KEY_BYTES];
	char		base64[BASE64_LEN];

	randombytes_buf(key, sizeof key);
	sodium_bin2base64(base64, sizeof base64, key, sizeof key, sodium_base64_VARIANT_ORIGINAL);
	snprintf(line, size, "1 %s primary\n", base64);
	sodium_memzero(key, sizeof key);
	sodium_memzero(base64, sizeof base64);
}

/* A ring that was not written to the end must not be taken for one. */
static bool
write_line(int fd, const char *line)
{
	size_t		len = strlen(line);

	return write(fd, line, len) == (ssize_t) len && (fsync(fd) == 0 || errno == EINVAL ||
													 errno == EROFS);
}

static int
fail(const char *file)
{
	fprintf(stderr, "the key ring %s cannot be written: %s\n", file, strerror(errno));
	return EXIT_FAILURE;
}

int
rg_keyring_new(const char *file)
{
	char		line[BASE64_LEN + 32];
	int			fd = STDOUT_FILENO;
	bool		written;

	if (file != NULL)
		fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(file);
	make_line(line, sizeof line);
	written = write_line(fd, line);
	sodium_memzero(line, sizeof line);
	if (written)
		return EXIT_SUCCESS;
	fail(file ? file : "to stdout");
	if (file != NULL)
		unlink(file);
	return EXIT_FAILURE;
}
