/*
 * health.c
 *		Is the gateway alive, and is it ready?
 */
#include "health.h"

#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "json_text.h"
#include "log.h"
#include "worker.h"

/* What relay_guard.ready() reports on; missing from its answer means false. */
static const char *const database_checks[] = {
	"extension", "routes", "keyring", "counters", "audit"
};

bool
rg_is_health_path(RgSlice path)
{
	return rg_slice_is(path, "/health") || rg_slice_is(path, "/healthz") ||
		rg_slice_is(path, "/_stcore/health");
}

void
rg_respond_health(RgConn *conn, const RgExchange *exchange)
{
	char		body[256];
	char		now[RG_TIMESTAMP_LEN];
	RgText		text = {body, sizeof body, 0};
	RgResponse	response = {.status = 200,.route = exchange->path};

	rg_timestamp(now);
	rg_text_put(&text, RG_SLICE("{\"status\":\"ok\",\"ok\":true,\"timestamp\":\""));
	rg_text_put(&text, rg_slice(now, sizeof now));
	rg_text_put(&text, RG_SLICE("\",\"version\":\"" RG_VERSION "\"}"));
	response.headers = RG_SLICE("Content-Type: application/json\r\n");
	response.body = rg_slice(body, text.len);
	rg_respond(conn, exchange, &response);
}

static void
set_check(json_t *checks, const char *name, bool passed)
{
	json_object_set_new(checks, name, json_boolean(passed));
}

static json_t *
make_checks(const RgWorker *worker, const json_t *reported, bool connected)
{
	json_t	   *checks = json_object();

	set_check(checks, "database", connected);
	for (size_t i = 0; i < sizeof database_checks / sizeof database_checks[0]; i++)
		set_check(checks, database_checks[i],
				  json_is_true(json_object_get(reported, database_checks[i])));
	set_check(checks, "telemetry", rg_access_log_healthy());
	set_check(checks, "templates", worker->files.count > 0);
	set_check(checks, "filesystem", access(worker->config->web_root, R_OK | X_OK) == 0);
	/* what clients of the old system ask for */
	set_check(checks, "redis", json_is_true(json_object_get(reported, "counters")));
	return checks;
}

static json_t *
list_missing(json_t *checks)
{
	json_t	   *missing = json_array();
	const char *name;
	json_t	   *passed;

	json_object_foreach(checks, name, passed)
		if (!json_is_true(passed))
		json_array_append_new(missing, json_string(name));
	return missing;
}

/* Both versions, since either may have been upgraded without the other. */
static json_t *
make_versions(const json_t *reported)
{
	json_t	   *extension = json_object_get(reported, "version");

	return json_pack("{s:s, s:O}", "gateway", RG_VERSION, "extension",
					 extension ? extension : json_null());
}

static json_t *
make_report(const RgWorker *worker, const char *database)
{
	json_t	   *reported = database ? json_loads(database, 0, NULL) : NULL;
	json_t	   *checks = make_checks(worker, reported, database != NULL);
	json_t	   *missing = list_missing(checks);
	bool		ready = json_array_size(missing) == 0;
	json_t	   *report = json_pack("{s:b, s:o, s:o}", "ready", ready, "checks", checks,
								   "versions", make_versions(reported));

	if (ready)
		json_decref(missing);
	else
		json_object_set_new(report, "missing", missing);
	json_decref(reported);
	return report;
}

void
rg_respond_ready(RgConn *conn, const RgExchange *exchange, const RgWorker *worker,
				 const char *database)
{
	json_t	   *report = make_report(worker, database);
	bool		ready = json_is_true(json_object_get(report, "ready"));
	char	   *text = json_dumps(report, JSON_COMPACT);
	RgResponse	response = {.status = ready ? 200 : 503,.route = RG_SLICE("/ready")};

	response.headers = ready ? RG_SLICE("Content-Type: application/json\r\n")
		: RG_SLICE("Content-Type: application/json\r\nRetry-After: 1\r\n");
	response.body = rg_slice(text, text ? strlen(text) : 0);
	rg_respond(conn, exchange, &response);
	free(text);
	json_decref(report);
}
