/*
 * log_guard.c
 *		Nothing secret in the server's log, whatever is logged.
 *
 * PostgreSQL logs statements and their parameters where log_statement,
 * log_min_duration_statement, auto_explain and others ask for it, and with every
 * error.  A report is secret when any of its texts, or the statement that it
 * comes from, names what takes secrets (secret_words.h), or when such a function
 * has been called since the client's last message.  Then
 *
 * - a statement is logged only when no value can stand in it (parameters do not),
 * - details, contexts and inner queries, where parameters and rows stand, are not,
 * - an error's message is logged without values, as its format, where
 *	 PostgreSQL puts values into it: invalid input syntax for type %s: "%s".
 *
 * The client gets its report as it was: the log's is emitted here, from the same
 * ErrorData with other fields, and then the report goes on without the log.
 * That needs no memory: an error may be reported when there is none left.
 */
#include "postgres.h"

#include <dlfcn.h>

#include "access/xact.h"
#include "commands/prepare.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"

#include "log_guard.h"
#include "secret_words.h"

#define TEXT_MAX 512

/* So many prepared statements of a text are looked at; more count as secret. */
#define PREPARED_MAX 100

static emit_log_hook_type previous_emit_log_hook = NULL;

/* When the client's message came in which a secret was last used. */
static TimestampTz used_at = 0;

/* What rg_log_guard_context() said last. */
static char visible_context[TEXT_MAX];

/* The texts that a report gets. */
static char message_text[TEXT_MAX];
static char statement_text[TEXT_MAX];

void
rg_log_guard_secret_used(void)
{
	used_at = GetCurrentStatementStartTimestamp();
}

/* As many whole characters as there is room for; of the last one there may be a part. */
static size_t
clip(const char *text, size_t len, size_t room)
{
	return Min((size_t) pg_mbcliplen(text, len, room), len);
}

static void
copy_clipped(char *to, const char *from, size_t len)
{
	len = clip(from, len, TEXT_MAX - 1);
	memcpy(to, from, len);
	to[len] = '\0';
}

void
rg_log_guard_context(const char *line)
{
	copy_clipped(visible_context, line, strlen(line));
	errcontext("%s", line);
}

/*
 * Is it secret?
 */

static PreparedStatement *
find_quoted(RgSlice name)
{
	char		exact[NAMEDATALEN];
	size_t		len = 0;

	for (size_t i = 1; i < name.len && len < sizeof exact - 1; i++)
	{
		if (name.data[i] == '"' && (++i == name.len || name.data[i] != '"'))
			break;
		exact[len++] = name.data[i];
	}
	exact[clip(exact, len, sizeof exact - 1)] = '\0';
	return FetchPreparedStatement(exact, false);
}

/* As PostgreSQL folds names. */
static char
folded(unsigned char c)
{
	return pg_database_encoding_max_length() == 1 ? pg_tolower(c) : pg_ascii_tolower(c);
}

/* Also as it stands there: the quotes around it may have been escaped. */
static PreparedStatement *
find_word(RgSlice name)
{
	char		exact[NAMEDATALEN];
	char		lower[NAMEDATALEN];
	size_t		len = clip(name.data, name.len, sizeof exact - 1);
	PreparedStatement *found;

	for (size_t i = 0; i < len; i++)
		lower[i] = folded(name.data[i]);
	memcpy(exact, name.data, len);
	exact[len] = lower[len] = '\0';
	found = FetchPreparedStatement(lower, false);
	return found != NULL ? found : FetchPreparedStatement(exact, false);
}

static PreparedStatement *
find_prepared(RgSlice name)
{
	const char *dollar = memchr(name.data, '$', name.len);
	PreparedStatement *found;

	if (name.data[0] == '"')
		return find_quoted(name);
	found = find_word(name);
	if (found == NULL && dollar != NULL)
		found = find_word(rg_slice(name.data, dollar - name.data));
	return found;
}

/* EXECUTE's arguments are the values of a statement that stands elsewhere. */
static const char *
secret_in_prepared(RgSlice execute)
{
	const char *found = NULL;
	int			left = PREPARED_MAX;
	RgSlice		name;
	RgSlice		ignored;

	while (found == NULL && rg_sql_next_prepared(&execute, &name))
	{
		PreparedStatement *prepared = find_prepared(name);

		if (prepared != NULL && left-- == 0)
			return "too many prepared statements to tell";
		if (prepared != NULL)
			found = rg_secret_word(rg_slice_of(prepared->plansource->query_string), &ignored);
	}
	return found;
}

const char *
rg_log_guard_secret_in(const char *text)
{
	RgSlice		execute;
	const char *found = rg_secret_word(rg_slice_of(text), &execute);

	return found != NULL ? found : secret_in_prepared(execute);
}

/* Does the message, if there is one, end with the statement? */
static bool
ends_with(const char *message, const char *statement)
{
	size_t		len = message != NULL ? strlen(message) : 0;
	size_t		end_len = strlen(statement);

	return end_len > 0 && len >= end_len && memcmp(message + len - end_len, statement, end_len) == 0;
}

/* auto_explain's first line is all before the plan; 0 when it is no plan. */
static size_t
length_before_plan(const char *message)
{
	static const char plan[] = " ms  plan:\n";
	const char *newline = strchr(message, '\n');
	size_t		len = newline != NULL ? newline + 1 - message : 0;

	if (strncmp(message, "duration: ", 10) != 0 || len < sizeof plan ||
		strncmp(newline + 2 - sizeof plan, plan, sizeof plan - 1) != 0)
		return 0;
	return len;
}

/*
 * Does the report show values that may belong to the client's statement?  A plan
 * does: from PostgreSQL 16 on auto_explain adds the parameters, and of EXECUTE they
 * stand in another statement than the one that it quotes.
 */
static bool
shows_values(const ErrorData *edata)
{
	bool		plan = edata->message != NULL && length_before_plan(edata->message) > 0;

	return plan || !edata->hide_stmt || edata->detail != NULL || edata->context != NULL ||
		edata->internalquery != NULL;
}

/* Looked at already, when it is what the message ends with. */
static const char *
secret_in_statement(const ErrorData *edata)
{
	if (debug_query_string == NULL || !shows_values(edata) ||
		ends_with(edata->message, debug_query_string))
		return NULL;
	return rg_log_guard_secret_in(debug_query_string);
}

/*
 * A parallel worker's report has been logged by the worker, who knows what it
 * used, before its leader says it again; without the format of the message.
 */
static bool
is_from_worker(const ErrorData *edata)
{
	return edata->message != NULL && edata->message_id == NULL;
}

/*
 * Other backends' statements, as pg_stat_activity has them: after a crash the
 * postmaster's detail quotes one, a deadlock's detail for the log several.  What
 * was cut off may have named anything.
 */
static bool
may_be_cut(const ErrorData *edata)
{
	const char *quoting = IsUnderPostmaster ? edata->detail_log : edata->detail;

	return quoting != NULL && strlen(quoting) >= (size_t) pgstat_track_activity_query_size - MAX_MULTIBYTE_CHAR_LEN;
}

/* A function of ours that there is not was called with what is meant for one that there is. */
static bool
is_misspelt(const ErrorData *edata)
{
	return edata->sqlerrcode == ERRCODE_UNDEFINED_FUNCTION && edata->message != NULL &&
		strstr(edata->message, "relay_guard.") != NULL;
}

/* What makes the report secret; NULL when nothing does. */
static const char *
secret_of(const ErrorData *edata)
{
	const char *texts[] = {edata->message, edata->detail, edata->detail_log,
	edata->context, edata->internalquery};
	const char *found = NULL;

	for (size_t i = 0; found == NULL && i < lengthof(texts); i++)
		found = rg_log_guard_secret_in(texts[i]);
	if (found == NULL)
		found = secret_in_statement(edata);
	if (found == NULL && used_at != 0 && used_at == GetCurrentStatementStartTimestamp())
		found = "what takes secrets";
	if (found == NULL && is_from_worker(edata))
		found = "a parallel worker, which has reported it";
	if (found == NULL && is_misspelt(edata))
		found = "a function that does not exist";
	if (found == NULL && may_be_cut(edata))
		found = "a statement too long to tell";
	return found;
}

/*
 * What is logged instead
 */

static bool
has_literal(const char *text)
{
	return rg_sql_has_literal(rg_slice_of(text));
}

/* A part of the message, and then why there is no more. */
static char *
hide_after(const char *message, size_t len, const char *secret)
{
	char		shown[TEXT_MAX];

	copy_clipped(shown, message, Min(len, TEXT_MAX / 2));
	snprintf(message_text, TEXT_MAX, "%s(hidden: it uses %s)", shown, secret);
	return message_text;
}

/* Was it raised in this library?  Then the name of its file stands there. */
static bool
is_ours(const ErrorData *edata)
{
	Dl_info		raised;
	Dl_info		here;

	return edata->filename != NULL && dladdr(edata->filename, &raised) != 0 &&
		dladdr(&used_at, &here) != 0 && raised.dli_fbase == here.dli_fbase;
}

/*
 * We, and who writes RAISE, say what is meant to be read.  An error that was
 * caught and thrown again has lost its file; class RG is ours or RAISE's.
 */
static bool
is_deliberate(const ErrorData *edata)
{
	if (is_ours(edata) || strncmp(unpack_sql_state(edata->sqlerrcode), "RG", 2) == 0)
		return true;
	return edata->message_id != NULL && strcmp(edata->message_id, "%s") == 0 &&
		strncmp(edata->domain, "plpgsql", 7) == 0;
}

/*
 * Do PostgreSQL's messages of that SQLSTATE hold nothing but names and numbers?
 * Files that do not exist have names of the statement's making.
 */
static bool
is_class_safe(const char *state, bool literal)
{
	static const char safe[] = "00 01 08 23 25 28 2B 40 53 55 57 58 ";
	char		class[4] = {state[0], state[1], ' ', '\0'};

	if (strncmp(state, "58P", 3) == 0)
		return false;
	return strstr(safe, class) != NULL || (strcmp(class, "42 ") == 0 && !literal);
}

static bool
is_message_safe(const ErrorData *edata, bool literal)
{
	if (edata->message_id != NULL && strchr(edata->message_id, '%') == NULL)
		return true;
	return is_deliberate(edata) || is_class_safe(unpack_sql_state(edata->sqlerrcode), literal);
}

static char *
hide_values(const ErrorData *edata, const char *secret)
{
	const char *format = edata->message_id != NULL ? edata->message_id : "error";

	snprintf(message_text, TEXT_MAX, "%.300s (SQLSTATE %s; values hidden: the statement uses %s)",
			 format, unpack_sql_state(edata->sqlerrcode), secret);
	return message_text;
}

/* The message for the log: itself, or what may be shown of it. */
static char *
visible_message(const ErrorData *edata, const char *statement, const char *secret)
{
	char	   *message = edata->message;
	bool		literal = statement != NULL && has_literal(statement);

	if (message == NULL)
		return NULL;
	if (length_before_plan(message) > 0)
		return hide_after(message, length_before_plan(message), secret);
	if (statement != NULL && ends_with(message, statement))
		return literal ? hide_after(message, strlen(message) - strlen(statement), secret) : message;
	if (edata->elevel < WARNING && rg_log_guard_secret_in(message) != NULL)
		return hide_after(message, 0, secret);
	return is_message_safe(edata, literal) ? message : hide_values(edata, secret);
}

/* Locks that are waited for tell no values; the statements of who holds them do. */
static void
hide_details(ErrorData *edata)
{
	bool		deliberate = is_deliberate(edata);

	if (!deliberate && strncmp(unpack_sql_state(edata->sqlerrcode), "40", 2) != 0)
		edata->detail = NULL;
	if (!deliberate && edata->elevel != LOG)
		edata->detail_log = NULL;
}

static void
hide_context(ErrorData *edata)
{
	bool		visible = edata->context != NULL && visible_context[0] != '\0' &&
	strstr(edata->context, visible_context) != NULL;

	edata->context = visible ? visible_context : NULL;
	if (edata->internalquery != NULL && has_literal(edata->internalquery))
		edata->internalquery = NULL;
}

static void
hide(ErrorData *edata, const char *secret)
{
	const char *statement = debug_query_string;
	char	   *message = edata->message;

	edata->message = visible_message(edata, statement, secret);
	if (edata->message != message && edata->elevel >= WARNING)
		edata->hint = NULL;
	hide_details(edata);
	hide_context(edata);
	if (statement != NULL && has_literal(statement))
	{
		snprintf(statement_text, TEXT_MAX, "(hidden: it uses %s)", secret);
		debug_query_string = statement_text;
	}
}

/* To the log alone, by way of the hooks that were there first. */
static void
emit_hidden(ErrorData *edata, const char *secret)
{
	const ErrorData whole = *edata;
	const char *statement = debug_query_string;
	emit_log_hook_type outermost = emit_log_hook;

	PG_TRY();
	{
		hide(edata, secret);
		edata->output_to_client = false;
		emit_log_hook = previous_emit_log_hook;
		EmitErrorReport();
	}
	PG_FINALLY();
	{
		*edata = whole;
		debug_query_string = statement;
		emit_log_hook = outermost;
	}
	PG_END_TRY();
	edata->output_to_server = false;
}

static void
guard_log(ErrorData *edata)
{
	const char *secret = edata->output_to_server ? secret_of(edata) : NULL;

	if (secret != NULL)
		emit_hidden(edata, secret);
	else if (previous_emit_log_hook != NULL)
		previous_emit_log_hook(edata);
}

void
rg_log_guard_init(void)
{
	previous_emit_log_hook = emit_log_hook;
	emit_log_hook = guard_log;
}
