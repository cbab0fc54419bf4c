/*
 * env_file.c
 *		Files of NAME=value lines; env_file.h has the contract.
 */
#include "env_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES (1 << 20)

static char *
read_text(const char *path)
{
	FILE	   *file = fopen(path, "re");
	char	   *text = file ? malloc(MAX_BYTES + 1) : NULL;
	size_t		len;

	if (text != NULL)
	{
		len = fread(text, 1, MAX_BYTES, file);
		text[len] = '\0';
	}
	if (file != NULL)
		fclose(file);
	return text;
}

static void
take_off_quotes(char **value)
{
	size_t		len = strlen(*value);

	if (len < 2 || (**value != '"' && **value != '\'') ||
		(*value)[len - 1] != **value)
		return;
	(*value)[len - 1] = '\0';
	(*value)++;
}

static bool
add(RgEnvFile *file, char *line)
{
	char	   *equals = strchr(line, '=');
	char	   *value;

	if (*line == '\0' || *line == '#')
		return true;
	if (equals == NULL)
		return false;
	*equals = '\0';
	value = equals + 1;
	take_off_quotes(&value);
	file->names[file->count] = line;
	file->values[file->count++] = value;
	return true;
}

static int
count_lines(const char *text)
{
	int			count = 1;

	while ((text = strchr(text, '\n')) != NULL)
	{
		count++;
		text++;
	}
	return count;
}

static bool
allocate(RgEnvFile *file)
{
	int			lines = count_lines(file->text);

	file->names = calloc(lines, sizeof *file->names);
	file->values = calloc(lines, sizeof *file->values);
	return file->names != NULL && file->values != NULL;
}

bool
rg_env_file_read(const char *path, RgEnvFile *file)
{
	char	   *rest;
	char	   *line;

	memset(file, 0, sizeof *file);
	file->text = read_text(path);
	if (file->text == NULL || !allocate(file))
	{
		rg_env_file_free(file);
		return false;
	}
	for (rest = file->text; (line = strsep(&rest, "\r\n")) != NULL;)
	{
		if (add(file, line))
			continue;
		rg_env_file_free(file);
		errno = EINVAL;
		return false;
	}
	return true;
}

void
rg_env_file_free(RgEnvFile *file)
{
	free(file->text);
	free(file->names);
	free(file->values);
	memset(file, 0, sizeof *file);
}

const char *
rg_env_file_get(const RgEnvFile *file, const char *name)
{
	for (int i = file->count - 1; i >= 0; i--)
		if (strcmp(file->names[i], name) == 0)
			return file->values[i];
	return NULL;
}

bool
rg_env_file_configured(RgEnvFile *file, FILE *errors)
{
	const char *path = getenv("RELAY_CONFIG");

	memset(file, 0, sizeof *file);
	if (path == NULL || *path == '\0' || rg_env_file_read(path, file))
		return true;
	fprintf(errors, "RELAY_CONFIG names %s, which cannot be read: %s\n", path,
			errno == EINVAL ? "a line is not NAME=value" : strerror(errno));
	return false;
}

const char *
rg_env_setting(const RgEnvFile *file, const char *name)
{
	const char *value = getenv(name);

	if (value == NULL)
		value = rg_env_file_get(file, name);
	return value != NULL && *value != '\0' ? value : NULL;
}
