/*
 * problem.c
 *		Problems of RFC 9457; problem.h has the contract.
 */
#include "problem.h"

#include "json_text.h"
#include "openai_error.h"
#include "problem_catalog.h"

typedef struct StatusTitle
{
	int			status;
	const char *title;
} StatusTitle;

static const StatusTitle titles[] = {
	{100, "Continue"},
	{200, "OK"},
	{201, "Created"},
	{202, "Accepted"},
	{204, "No Content"},
	{206, "Partial Content"},
	{301, "Moved Permanently"},
	{302, "Found"},
	{303, "See Other"},
	{304, "Not Modified"},
	{307, "Temporary Redirect"},
	{308, "Permanent Redirect"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{402, "Payment Required"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{406, "Not Acceptable"},
	{408, "Request Timeout"},
	{409, "Conflict"},
	{410, "Gone"},
	{411, "Length Required"},
	{412, "Precondition Failed"},
	{413, "Content Too Large"},
	{414, "URI Too Long"},
	{415, "Unsupported Media Type"},
	{416, "Range Not Satisfiable"},
	{417, "Expectation Failed"},
	{421, "Misdirected Request"},
	{422, "Unprocessable Content"},
	{423, "Locked"},
	{425, "Too Early"},
	{426, "Upgrade Required"},
	{428, "Precondition Required"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{451, "Unavailable For Legal Reasons"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
	{505, "HTTP Version Not Supported"},
	{507, "Insufficient Storage"},
};

const char *
rg_status_title(int status)
{
	for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++)
		if (titles[i].status == status)
			return titles[i].title;
	if (status >= 500)
		return "Server Error";
	return status >= 400 ? "Client Error" : "Success";
}

static void
put_member(RgText *text, RgSlice name, RgSlice value)
{
	if (value.data == NULL)
		return;
	rg_text_char(text, ',');
	rg_text_json(text, name);
	rg_text_char(text, ':');
	rg_text_json(text, value);
}

static void
put_extra(RgText *text, RgSlice extra)
{
	if (extra.len == 0)
		return;
	rg_text_char(text, ',');
	rg_text_put(text, extra);
}

static void
put_problem(RgText *text, const RgProblem *problem, RgSlice code, RgSlice suggestion)
{
	rg_text_put(text, RG_SLICE("{\"type\":\"about:blank\",\"title\":"));
	rg_text_json(text, rg_slice_of(rg_status_title(problem->status)));
	rg_text_put(text, RG_SLICE(",\"status\":"));
	rg_text_number(text, problem->status);
	put_member(text, RG_SLICE("code"), code);
	put_member(text, RG_SLICE("detail"), problem->detail);
	put_member(text, RG_SLICE("suggestion"), suggestion);
	put_member(text, RG_SLICE("pointer"), problem->pointer);
	put_member(text, RG_SLICE("instance"), problem->instance);
	put_member(text, RG_SLICE("request_id"), problem->request_id);
	put_extra(text, problem->extra);
	rg_text_char(text, '}');
}

size_t
rg_problem_json(char *buf, size_t cap, const RgProblem *problem)
{
	RgText		text = {buf, cap, 0};
	RgSlice		code = problem->code;
	RgSlice		suggestion = problem->suggestion;

	if (code.len == 0)
		code = rg_problem_code(problem->status);
	if (suggestion.len == 0)
		suggestion = rg_problem_suggestion(problem->status, code);
	if (problem->openai)
		rg_openai_error_put(&text, problem, code, suggestion);
	else
		put_problem(&text, problem, code, suggestion);
	return text.len;
}
