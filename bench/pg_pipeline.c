/*
 * pg_pipeline.c
 *		Load on PostgreSQL alone, over libpq's pipeline mode: the guarded read
 *		through relay_guard.serve(), or the bare statement of its route.
 *
 * pg_pipeline rows|serve CONNECTIONS DEPTH SECONDS TOKENS
 *
 * Keeps DEPTH calls in flight on each of CONNECTIONS connections, each call an
 * implicit transaction (a Sync), parameters and results binary.  TOKENS is a
 * file with one token a line, the n-th being that of user n; both modes walk
 * through the users alike.  Connects as libpq's environment says.  Prints
 * "RESULT calls microseconds"; any error, and any status but 200, ends it.
 */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libpq-fe.h>

#include "frame.h"

#define MAX_CONNECTIONS 64
#define MAX_USERS 1000
#define WARM_UP 0.5				/* seconds before counting starts */

/* What a mode prepares, and how it sends one call for a user (from 1). */
typedef struct Mode
{
	const char *name;
	const char *query;
	int			(*send) (PGconn *pg, int user);
	void		(*check) (const PGresult *result);
} Mode;

static char *tokens[MAX_USERS];
static int	nusers;
static long ncalls;

static void
fail(const char *what, const char *why)
{
	fprintf(stderr, "pg_pipeline: %s: %s\n", what, why);
	exit(1);
}

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void
read_tokens(const char *path)
{
	char		line[4096];
	FILE	   *file = fopen(path, "r");

	if (file == NULL)
		fail(path, strerror(errno));
	while (nusers < MAX_USERS && fgets(line, sizeof line, file))
	{
		line[strcspn(line, "\n")] = '\0';
		tokens[nusers++] = strdup(line);
	}
	fclose(file);
	if (nusers == 0)
		fail(path, "no tokens");
}

/* All users in an order that looks random and is the same in every run. */
static int
next_user(void)
{
	static unsigned step;

	return step++ * 617 % nusers + 1;
}

static int
send_rows(PGconn *pg, int user)
{
	char		id[16];
	const char *values[] = {id};

	snprintf(id, sizeof id, "%d", user);
	return PQsendQueryPrepared(pg, "call", 1, values, NULL, NULL, 1);
}

static void
check_rows(const PGresult *result)
{
	if (PQntuples(result) != 50)
		fail("rows", "a user without 50 rows");
}

static int
send_serve(PGconn *pg, int user)
{
	char		bearer[4200];
	char		frame[8192];
	RgRequest	request = {
		.method = RG_SLICE("GET"),
		.path = RG_SLICE("/api/v1/knowledge/files"),
		.query = RG_SLICE("limit=50"),
		.client_ip = {[10] = 0xff, 0xff, 127, 0, 0, 1},
		.request_id = RG_SLICE("0199c0de-0000-7000-8000-000000000000"),
		.nheaders = 2,
		.headers = {{RG_SLICE("authorization"), {NULL, 0}},
		{RG_SLICE("user-agent"), RG_SLICE("pg_pipeline")}},
	};
	const char *values[] = {frame};
	int			lengths[] = {0};
	int			formats[] = {1};

	request.headers[0].value.data = bearer;
	request.headers[0].value.len = snprintf(bearer, sizeof bearer, "Bearer %s",
											tokens[user - 1]);
	lengths[0] = rg_request_size(&request);
	if (lengths[0] > (int) sizeof frame)
		fail("serve", "a token is too long");
	rg_request_write(&request, frame);
	return PQsendQueryPrepared(pg, "call", 1, values, lengths, formats, 1);
}

static void
check_serve(const PGresult *result)
{
	uint32_t	status = 0;

	if (PQgetlength(result, 0, 0) >= (int) sizeof status)
		memcpy(&status, PQgetvalue(result, 0, 0), sizeof status);
	if (ntohl(status) != 200)
		fail("serve", PQgetvalue(result, 0, 0) + 8);
}

static const Mode modes[] = {
	{"rows", "SELECT id, name, mime, size_bytes, status, created_at"
		" FROM bench.knowledge_files WHERE user_id = $1 AND (created_at, id) <"
		" (timestamptz 'infinity', 9223372036854775807)"
	" ORDER BY created_at DESC, id DESC LIMIT 50", send_rows, check_rows},
	{"serve", "SELECT relay_guard.serve($1)", send_serve, check_serve},
};

static const Mode *
find_mode(const char *name)
{
	for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
		if (strcmp(modes[i].name, name) == 0)
			return &modes[i];
	fail(name, "no such mode");
	return NULL;
}

static void
send_call(const Mode *mode, PGconn *pg)
{
	if (!mode->send(pg, next_user()) || !PQpipelineSync(pg))
		fail("sending", PQerrorMessage(pg));
}

static PGconn *
open_connection(const Mode *mode)
{
	PGconn	   *pg = PQconnectdb("");
	PGresult   *result;

	if (PQstatus(pg) != CONNECTION_OK)
		fail("connecting", PQerrorMessage(pg));
	result = PQprepare(pg, "call", mode->query, 0, NULL);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		fail("preparing", PQerrorMessage(pg));
	PQclear(result);
	if (!PQenterPipelineMode(pg) || PQsetnonblocking(pg, 1) != 0)
		fail("pipeline mode", PQerrorMessage(pg));
	return pg;
}

/* A NULL separates the results of one call from the next's. */
static PGresult *
next_result(PGconn *pg)
{
	PGresult   *result;

	if (PQisBusy(pg))
		return NULL;
	result = PQgetResult(pg);
	if (result == NULL && !PQisBusy(pg))
		result = PQgetResult(pg);
	return result;
}

/* Takes what has come and sends a new call for each that is complete. */
static void
receive(const Mode *mode, PGconn *pg)
{
	PGresult   *result;

	if (!PQconsumeInput(pg))
		fail("receiving", PQerrorMessage(pg));
	while ((result = next_result(pg)) != NULL)
	{
		if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
		{
			ncalls++;
			send_call(mode, pg);
		}
		else if (PQresultStatus(result) == PGRES_TUPLES_OK)
			mode->check(result);
		else
			fail("result", PQresultErrorMessage(result));
		PQclear(result);
	}
	if (PQflush(pg) < 0)
		fail("flushing", PQerrorMessage(pg));
}

static void
run_until(double end, const Mode *mode, PGconn **pg, struct pollfd *sockets, int n)
{
	while (now() < end)
	{
		poll(sockets, n, 1000);
		for (int i = 0; i < n; i++)
			if (sockets[i].revents)
				receive(mode, pg[i]);
	}
}

int
main(int argc, char **argv)
{
	PGconn	   *pg[MAX_CONNECTIONS];
	struct pollfd sockets[MAX_CONNECTIONS];
	const Mode *mode;
	int			n;
	double		start;

	if (argc != 6)
		fail("usage", "pg_pipeline rows|serve CONNECTIONS DEPTH SECONDS TOKENS");
	mode = find_mode(argv[1]);
	n = atoi(argv[2]);
	if (n < 1 || n > MAX_CONNECTIONS)
		fail(argv[2], "from 1 to 64 connections");
	read_tokens(argv[5]);
	for (int i = 0; i < n; i++)
	{
		pg[i] = open_connection(mode);
		sockets[i].fd = PQsocket(pg[i]);
		sockets[i].events = POLLIN;
		for (int k = atoi(argv[3]); k > 0; k--)
			send_call(mode, pg[i]);
		PQflush(pg[i]);
	}
	run_until(now() + WARM_UP, mode, pg, sockets, n);
	ncalls = 0;
	start = now();
	run_until(start + atof(argv[4]), mode, pg, sockets, n);
	printf("RESULT %ld %.0f\n", ncalls, (now() - start) * 1e6);
	return 0;
}
