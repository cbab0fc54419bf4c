/*
 * resolve.c
 *		Asking for addresses; resolve.h has the contract.
 *
 * getaddrinfo_a() has a thread of the C library wait.  A question that is not
 * answered yet cannot always be taken back, so it is never dropped.
 */
#include <arpa/inet.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "resolve.h"

#define MAX_ADDRESSES 8

static bool
is_name(const char *host)
{
	unsigned char address[sizeof(struct in6_addr)];

	return host != NULL && *host != '\0' && *host != '/' && *host != '@' &&
		strchr(host, ',') == NULL &&
		inet_pton(AF_INET, host, address) != 1 && inet_pton(AF_INET6, host, address) != 1;
}

static const char *
find_option(const PQconninfoOption *options, const char *name)
{
	for (; options != NULL && options->keyword != NULL; options++)
		if (strcmp(options->keyword, name) == 0)
			return options->val;
	return NULL;
}

/* What the connection string says, else what the environment does. */
static char *
copy_option(const PQconninfoOption *given, const PQconninfoOption *defaults, const char *name)
{
	const char *value = find_option(given, name);

	if (value == NULL)
		value = find_option(defaults, name);
	return value != NULL ? strdup(value) : NULL;
}

void
rg_resolver_init(RgResolver *resolver, const char *conninfo)
{
	PQconninfoOption *given = PQconninfoParse(conninfo, NULL);
	PQconninfoOption *defaults = PQconndefaults();
	char	   *address = copy_option(given, defaults, "hostaddr");
	char	   *host = copy_option(given, defaults, "host");

	memset(resolver, 0, sizeof *resolver);
	if (address == NULL && is_name(host))
		resolver->host = host;
	else
		free(host);
	free(address);
	PQconninfoFree(given);
	PQconninfoFree(defaults);
	resolver->hints.ai_socktype = SOCK_STREAM;
	resolver->question.ar_name = resolver->host;
	resolver->question.ar_request = &resolver->hints;
}

/* list + "," + item, and list is freed; NULL when memory is used up. */
static char *
append_item(char *list, const char *item)
{
	size_t		len = list ? strlen(list) : 0;
	char	   *longer = realloc(list, len + strlen(item) + 2);

	if (longer == NULL)
	{
		free(list);
		return NULL;
	}
	strcpy(longer + len, len > 0 ? "," : "");
	strcat(longer, item);
	return longer;
}

static void
forget(RgResolver *resolver)
{
	free(resolver->hosts);
	free(resolver->addresses);
	resolver->hosts = resolver->addresses = NULL;
}

static RgResolution
take_addresses(RgResolver *resolver)
{
	int			count = 0;

	forget(resolver);
	for (struct addrinfo *at = resolver->question.ar_result;
		 at != NULL && count < MAX_ADDRESSES; at = at->ai_next)
	{
		char		text[NI_MAXHOST];

		if (getnameinfo(at->ai_addr, at->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) != 0)
			continue;
		resolver->hosts = append_item(resolver->hosts, resolver->host);
		resolver->addresses = append_item(resolver->addresses, text);
		count++;
	}
	freeaddrinfo(resolver->question.ar_result);
	resolver->error = "the host has no address";
	return resolver->hosts != NULL && resolver->addresses != NULL ? RG_RESOLVED : RG_UNRESOLVED;
}

static RgResolution
ask(RgResolver *resolver)
{
	struct gaicb *questions[] = {&resolver->question};
	int			error = getaddrinfo_a(GAI_NOWAIT, questions, 1, NULL);

	resolver->asked = error == 0;
	resolver->error = gai_strerror(error);
	return resolver->asked ? RG_RESOLVING : RG_UNRESOLVED;
}

RgResolution
rg_resolver_poll(RgResolver *resolver)
{
	int			error;

	if (resolver->host == NULL)
		return RG_RESOLVED;
	if (!resolver->asked)
		return ask(resolver);
	error = gai_error(&resolver->question);
	if (error == EAI_INPROGRESS)
		return RG_RESOLVING;
	resolver->asked = false;
	if (error == 0)
		return take_addresses(resolver);
	resolver->error = gai_strerror(error);
	return RG_UNRESOLVED;
}
