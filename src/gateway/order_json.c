/*
 * order_json.c
 *		Members that orders have in common; order_json.h has the contract.
 */
#include "order_json.h"

#include <jansson.h>
#include <string.h>

static bool
is_visible(const char *text, char least)
{
	for (; *text != '\0'; text++)
		if (*text < least || *text > '~')
			return false;
	return true;
}

bool
rg_order_url_valid(const char *url)
{
	return (strncmp(url, "http://", 7) == 0 || strncmp(url, "https://", 8) == 0) &&
		is_visible(url, '!');
}

bool
rg_order_target_valid(const char *target)
{
	return *target == '/' && is_visible(target, '!') && strchr(target, '#') == NULL;
}

bool
rg_order_header(const json_t *order, int index, const char **name, const char **value)
{
	const json_t *headers = json_object_get(order, "headers");

	*name = json_string_value(json_array_get(headers, 2 * index));
	*value = json_string_value(json_array_get(headers, 2 * index + 1));
	return *name != NULL && *value != NULL;
}

static bool
is_header(const char *name, const char *value)
{
	bool		known = strncmp(name, "x-relay-", 8) == 0 || strcmp(name, "authorization") == 0;

	return known && is_visible(name, '!') &&
		strchr(name, ':') == NULL && *value != '\0' && is_visible(value, ' ');
}

bool
rg_order_headers_valid(const json_t *order)
{
	const json_t *headers = json_object_get(order, "headers");
	const char *name;
	const char *value;

	for (size_t i = 0; i < json_array_size(headers) / 2; i++)
		if (!rg_order_header(order, i, &name, &value) || !is_header(name, value))
			return false;
	return json_array_size(headers) % 2 == 0;
}
