/*
 * completion_request.c
 *		Requests of OpenAI's chat completions; completion_request.h has the
 *		contract.
 */
#include "completion_request.h"

#include <jansson.h>

#include "json_body.h"

#define MAX_MODEL 128			/* bytes of a model's name */
#define MAX_TOKENS 1000000000
#define BYTES_PER_TOKEN 3
#define TOKENS_PER_MESSAGE 4
#define TOKENS_PER_MEDIUM 3000
#define TOKENS_PER_IMAGE 50000	/* the most that any model counts */
#define MEDIUM_BYTES_PER_TOKEN 32

/*
 * Refusals
 */

static bool
refuse(RgViolation *violation, const char *member, const char *detail)
{
	rg_violate(violation, 422, "invalid_parameter", "%s", detail);
	rg_violation_prepend(violation, member);
	rg_violation_prepend(violation, "body");
	return false;
}

static bool
refuse_message(RgViolation *violation, size_t index)
{
	rg_violate(violation, 422, "invalid_parameter", "must be an object with a role");
	rg_violation_prepend_index(violation, index);
	rg_violation_prepend(violation, "messages");
	rg_violation_prepend(violation, "body");
	return false;
}

/*
 * The estimate
 */

/* Bytes of all strings and numbers in a value, names of members included. */
static int64_t
count_text(const json_t *value)
{
	int64_t		bytes = 0;
	const char *name;
	json_t	   *member;
	size_t		index;

	if (json_is_string(value))
		return json_string_length(value);
	if (json_is_number(value))
		return json_dumpb(value, NULL, 0, JSON_ENCODE_ANY);
	json_array_foreach(value, index, member)
		bytes += count_text(member);
	json_object_foreach((json_t *) value, name, member)
		bytes += strlen(name) + count_text(member);
	return bytes;
}

static bool
is_of_type(const json_t *part, const char *type)
{
	const char *name = json_string_value(json_object_get(part, "type"));

	return name != NULL && strcmp(name, type) == 0;
}

static bool
is_image(const json_t *part)
{
	return is_of_type(part, "image_url");
}

static bool
is_medium(const json_t *part)
{
	return is_image(part) || is_of_type(part, "input_audio") || is_of_type(part, "file");
}

/* The member that has its type's name holds it; any other may be taken for text. */
static int64_t
thirds_of_medium(const json_t *part)
{
	const char *type = json_string_value(json_object_get(part, "type"));
	int64_t		tokens = TOKENS_PER_MEDIUM;
	int64_t		bytes = 0;
	const char *name;
	json_t	   *member;

	if (!is_image(part))
		tokens += count_text(json_object_get(part, type)) / MEDIUM_BYTES_PER_TOKEN;
	json_object_foreach((json_t *) part, name, member)
		if (strcmp(name, type) != 0 && strcmp(name, "type") != 0)
		bytes += strlen(name) + count_text(member);
	return tokens * BYTES_PER_TOKEN + bytes;
}

/* A sum in thirds of tokens, so that it is rounded up only once. */
static int64_t
thirds_of_part(const json_t *part)
{
	return is_medium(part) ? thirds_of_medium(part) : count_text(part);
}

static int64_t
thirds_of_message(const json_t *message)
{
	int64_t		thirds = TOKENS_PER_MESSAGE * BYTES_PER_TOKEN;
	const char *name;
	json_t	   *member;
	json_t	   *part;
	size_t		index;

	json_object_foreach((json_t *) message, name, member)
	{
		if (strcmp(name, "content") != 0 || !json_is_array(member))
			thirds += count_text(member);
		else
			json_array_foreach(member, index, part)
				thirds += thirds_of_part(part);
	}
	return thirds;
}

static int64_t
size_of(const json_t *value)
{
	return value != NULL ? json_dumpb(value, NULL, 0, JSON_COMPACT) : 0;
}

static int64_t
estimate(const json_t *json)
{
	int64_t		thirds = size_of(json_object_get(json, "tools")) +
	size_of(json_object_get(json, "functions")) +
	size_of(json_object_get(json, "response_format"));
	json_t	   *message;
	size_t		index;

	json_array_foreach(json_object_get(json, "messages"), index, message)
		thirds += thirds_of_message(message);
	return (thirds + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN;
}

/* Of what a file holds its size tells nothing, and an address even less. */
static int64_t
hidden_in_part(const json_t *part)
{
	const json_t *detail = json_object_get(json_object_get(part, "image_url"), "detail");

	if (is_of_type(part, "file"))
		return MAX_TOKENS;
	if (!is_image(part) || (json_is_string(detail) && strcmp(json_string_value(detail), "low") == 0))
		return 0;
	return TOKENS_PER_IMAGE - TOKENS_PER_MEDIUM;
}

static int64_t
count_hidden(const json_t *json)
{
	int64_t		tokens = 0;
	json_t	   *message;
	json_t	   *part;
	size_t		i;
	size_t		j;

	json_array_foreach(json_object_get(json, "messages"), i, message)
		json_array_foreach(json_object_get(message, "content"), j, part)
		tokens += hidden_in_part(part);
	return tokens < MAX_TOKENS ? tokens : MAX_TOKENS;
}

/*
 * Members
 */

static bool
read_model(RgCompletionRequest *request, RgViolation *violation)
{
	const json_t *model = json_object_get(request->json, "model");
	size_t		len = json_string_length(model);

	request->model = json_string_value(model);
	if (model == NULL || json_is_null(model) || (len > 0 && len <= MAX_MODEL))
		return true;
	return refuse(violation, "model", "must be the name of a model");
}

/* Leaves *number as it is where the member is absent or null. */
static bool
read_number(const RgCompletionRequest *request, const char *name, json_int_t most,
			json_int_t * number, RgViolation *violation)
{
	const json_t *member = json_object_get(request->json, name);

	if (member == NULL || json_is_null(member))
		return true;
	if (!json_is_integer(member) || json_integer_value(member) < 1 ||
		json_integer_value(member) > most)
	{
		rg_violate(violation, 422, "invalid_parameter", "must be a whole number from 1 to %lld",
				   (long long) most);
		rg_violation_prepend(violation, name);
		rg_violation_prepend(violation, "body");
		return false;
	}
	*number = json_integer_value(member);
	return true;
}

/* Of two bounds the lower one counts. */
static bool
read_max_output(RgCompletionRequest *request, RgViolation *violation)
{
	json_int_t	now = 0;
	json_int_t	former = 0;

	if (!read_number(request, "max_completion_tokens", MAX_TOKENS, &now, violation) ||
		!read_number(request, "max_tokens", MAX_TOKENS, &former, violation))
		return false;
	request->max_output = now == 0 || (former > 0 && former < now) ? former : now;
	return true;
}

/* Some providers make more answers than they return: best_of. */
static bool
read_answers(RgCompletionRequest *request, RgViolation *violation)
{
	json_int_t	returned = 1;
	json_int_t	made = 1;

	if (!read_number(request, "n", RG_COMPLETION_MAX_ANSWERS, &returned, violation) ||
		!read_number(request, "best_of", RG_COMPLETION_MAX_ANSWERS, &made, violation))
		return false;
	request->answers = made > returned ? made : returned;
	return true;
}

static bool
read_stream(RgCompletionRequest *request, RgViolation *violation)
{
	const json_t *stream = json_object_get(request->json, "stream");
	const json_t *options = json_object_get(request->json, "stream_options");

	if (stream != NULL && !json_is_boolean(stream) && !json_is_null(stream))
		return refuse(violation, "stream", "must be true or false");
	if (options != NULL && !json_is_object(options) && !json_is_null(options))
		return refuse(violation, "stream_options", "must be an object");
	request->stream = json_is_true(stream);
	request->usage_asked = json_is_true(json_object_get(options, "include_usage"));
	return true;
}

static bool
check_messages(const RgCompletionRequest *request, RgViolation *violation)
{
	const json_t *messages = json_object_get(request->json, "messages");
	const json_t *message;
	size_t		index;

	if (json_array_size(messages) == 0)
		return refuse(violation, "messages", "must be a list of one message or more");
	json_array_foreach(messages, index, message)
		if (!json_is_string(json_object_get(message, "role")))
		return refuse_message(violation, index);
	return true;
}

static bool
read_members(RgCompletionRequest *request, RgViolation *violation)
{
	if (!json_is_object(request->json))
	{
		rg_violate(violation, 422, "invalid_parameter", "must be an object");
		rg_violation_prepend(violation, "body");
		return false;
	}
	return check_messages(request, violation) && read_model(request, violation) &&
		read_max_output(request, violation) && read_answers(request, violation) &&
		read_stream(request, violation);
}

bool
rg_completion_read(RgSlice text, RgCompletionRequest *request, RgViolation *violation)
{
	memset(request, 0, sizeof *request);
	request->text = text;
	request->json = rg_json_parse(text, violation);
	if (request->json == NULL)
		return false;
	if (!read_members(request, violation))
	{
		rg_completion_free(request);
		return false;
	}
	request->input_tokens = estimate(request->json);
	request->hidden_tokens = count_hidden(request->json);
	return true;
}

void
rg_completion_free(RgCompletionRequest *request)
{
	json_decref(request->json);
	request->json = NULL;
}

/*
 * Writing
 */

/* What the terms say, or nobody but this may. */
static bool
is_ours(const char *name)
{
	static const char *const names[] = {
		"model", "max_tokens", "max_completion_tokens", "stream", "stream_options", "user",
		"safety_identifier"
	};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

static void
put_string(RgText *text, const char *name, RgSlice value)
{
	rg_text_json(text, rg_slice_of(name));
	rg_text_char(text, ':');
	rg_text_json(text, value);
}

/* By the name that the client used: providers do not take both, nor all of them either. */
static void
put_max_output(RgText *text, const RgCompletionRequest *request, int64_t max_output)
{
	const json_t *former = json_object_get(request->json, "max_tokens");
	const json_t *now = json_object_get(request->json, "max_completion_tokens");
	bool		by_former = json_is_integer(former) && !json_is_integer(now);

	rg_text_put(text, by_former ? RG_SLICE(",\"max_tokens\":") :
				RG_SLICE(",\"max_completion_tokens\":"));
	rg_text_number(text, max_output);
}

/* Its members in the order of the document, as json and text both have them. */
static void
put_others(RgText *text, const RgCompletionRequest *request)
{
	size_t		offset = 0;
	RgSlice		value;
	const char *name;
	json_t	   *member;

	json_object_foreach(request->json, name, member)
	{
		if (!rg_json_next_member(request->text, &offset, &value))
			return;
		if (is_ours(name))
			continue;
		rg_text_char(text, ',');
		rg_text_json(text, rg_slice(name, strlen(name)));
		rg_text_char(text, ':');
		rg_text_put(text, value);
	}
}

void
rg_completion_put(RgText *text, const RgCompletionRequest *request, const RgCompletionTerms *terms)
{
	rg_text_char(text, '{');
	put_string(text, "model", rg_slice_of(terms->model));
	put_others(text, request);
	put_max_output(text, request, terms->max_output);
	if (terms->stream)
		rg_text_put(text, RG_SLICE(",\"stream\":true,\"stream_options\":{\"include_usage\":true}"));
	rg_text_char(text, ',');
	put_string(text, "user", terms->user);
	rg_text_char(text, '}');
}
