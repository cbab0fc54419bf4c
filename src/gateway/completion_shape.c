/*
 * completion_shape.c
 *		A completion as clients get it; completion_shape.h has the contract.
 */
#include "completion_shape.h"

#include "sse_text.h"

static const char *const names[] = {
	[RG_SHAPE_OPENAI] = "openai",
	[RG_SHAPE_REPLY] = "reply",
	[RG_SHAPE_EVENTS] = "events"
};

bool
rg_completion_shape_named(const char *name, RgCompletionShape *shape)
{
	for (*shape = 0; *shape < sizeof names / sizeof names[0]; ++*shape)
		if (strcmp(name, names[*shape]) == 0)
			return true;
	return false;
}

void
rg_completion_put_data(RgText *text, RgSlice data)
{
	RgSlice		none = {NULL, 0};

	rg_sse_event(text, none, none, data);
}

/* A name or a comma in front of it is part of the literal. */
static void
put_member(RgText *text, RgSlice before, RgSlice value)
{
	rg_text_put(text, before);
	if (value.data != NULL)
		rg_text_json(text, value);
	else
		rg_text_put(text, RG_SLICE("null"));
}

void
rg_completion_put_openai_error(RgText *text, RgSlice code, RgSlice message)
{
	rg_text_put(text, RG_SLICE("data: {\"error\":{"));
	put_member(text, RG_SLICE("\"message\":"), message);
	put_member(text, RG_SLICE(",\"type\":\"server_error\",\"param\":null,\"code\":"), code);
	rg_text_put(text, RG_SLICE("}}\n\n"));
}

void
rg_completion_put_usage(RgText *text, const RgCompletionUsage *usage)
{
	rg_text_put(text, RG_SLICE("{\"input_tokens\":"));
	rg_text_number(text, usage->input);
	rg_text_put(text, RG_SLICE(",\"output_tokens\":"));
	rg_text_number(text, usage->output);
	rg_text_char(text, '}');
}

void
rg_completion_put_reply(RgText *text, RgSlice reply, const RgCompletionEnd *end)
{
	put_member(text, RG_SLICE("{\"reply\":"), reply);
	put_member(text, RG_SLICE(",\"model\":"), end->model);
	put_member(text, RG_SLICE(",\"finish_reason\":"), end->finish_reason);
	rg_text_put(text, RG_SLICE(",\"usage\":"));
	rg_completion_put_usage(text, &end->usage);
	rg_text_char(text, '}');
}

void
rg_completion_put_text(RgText *text, RgSlice piece)
{
	put_member(text, RG_SLICE("{\"text\":"), piece);
	rg_text_char(text, '}');
}

void
rg_completion_put_done(RgText *text, const RgCompletionEnd *end)
{
	put_member(text, RG_SLICE("{\"finish_reason\":"), end->finish_reason);
	put_member(text, RG_SLICE(",\"model\":"), end->model);
	rg_text_char(text, '}');
}

void
rg_completion_put_error(RgText *text, RgSlice code, RgSlice message)
{
	put_member(text, RG_SLICE("{\"code\":"), code);
	put_member(text, RG_SLICE(",\"message\":"), message);
	rg_text_char(text, '}');
}

static bool
continues_character(char byte)
{
	return ((unsigned char) byte & 0xC0) == 0x80;
}

RgSlice
rg_completion_take_piece(RgSlice *rest, size_t max)
{
	RgSlice		piece = {rest->data, rest->len < max ? rest->len : max};

	while (piece.len < rest->len && piece.len > 1 && continues_character(rest->data[piece.len]))
		piece.len--;
	rest->data += piece.len;
	rest->len -= piece.len;
	return piece;
}

void
rg_completion_put_element(RgText *text, RgSlice value)
{
	for (size_t i = 0; i < value.len; i++)
	{
		if (value.data[i] == '"' || value.data[i] == '\\')
			rg_text_char(text, '\\');
		rg_text_char(text, value.data[i]);
	}
}
