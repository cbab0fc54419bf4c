/*
 * test_session.c
 *		Cookies, CSRF tokens, whose page a request comes from, and the headers
 *		that a route may set.
 */
#include <sodium.h>
#include <string.h>

#include "cookie.h"
#include "csrf_token.h"
#include "gateway_flags.h"
#include "response_header.h"
#include "same_site.h"
#include "session_cookie.h"
#include "tap.h"

/* A request with headers "name: value" up to a NULL. */
static const RgRequest *
request_with(const char *first,...)
{
	static RgRequest request;
	va_list		args;

	memset(&request, 0, sizeof request);
	va_start(args, first);
	for (const char *name = first; name != NULL; name = va_arg(args, const char *))
	{
		const char *value = va_arg(args, const char *);
		RgHeader   *header = &request.headers[request.nheaders++];

		header->name = rg_slice_of(name);
		header->value = rg_slice(value, strlen(value));
	}
	va_end(args);
	return &request;
}

static bool
cookie_is(const char *header, RgCookieFound found, const char *expected)
{
	RgSlice		value = {NULL, 0};

	return rg_cookie_find(rg_slice_of(header), "sid", &value) == found &&
		(found == RG_COOKIE_ABSENT || rg_slice_is(value, expected));
}

static void
check_cookies(void)
{
	RgSlice		value;

	ok(cookie_is("sid=abc", RG_COOKIE_ONCE, "abc"), "a cookie alone");
	ok(cookie_is("a=1; sid=abc; b=2", RG_COOKIE_ONCE, "abc"), "one among others");
	ok(cookie_is("a=1;sid=abc;b=2", RG_COOKIE_ONCE, "abc"), "without blanks");
	ok(cookie_is("sid=", RG_COOKIE_ONCE, ""), "an empty one is there");
	ok(cookie_is("sid=a=b", RG_COOKIE_ONCE, "a=b"), "a value may have an equals sign");
	ok(cookie_is("sid=a; sid=b", RG_COOKIE_TWICE, "a"), "two of a name are told");
	ok(cookie_is("sid=a; sid=a", RG_COOKIE_TWICE, "a"), "also when they are the same");
	ok(cookie_is("xsid=a; sidx=b; Sid=c", RG_COOKIE_ABSENT, NULL), "names are whole and have case");
	ok(cookie_is("sid", RG_COOKIE_ABSENT, NULL), "a name without a value is none");
	ok(cookie_is(";;; =; ;", RG_COOKIE_ABSENT, NULL), "rubbish is none");
	ok(cookie_is("a=\"; sid=b\"", RG_COOKIE_ONCE, "b\""), "quotes part nothing");
	ok(rg_cookie_find(rg_slice(NULL, 0), "sid", &value) == RG_COOKIE_ABSENT, "no header, no cookie");
}

static const uint8_t id_a[16] = {1};
static const uint8_t id_b[16] = {2};
static const uint8_t secret_a[32] = {3};
static const uint8_t secret_b[32] = {4};

static RgCsrfError
check_token(const char *token)
{
	return rg_csrf_token_check(rg_slice_of(token), id_a, secret_a);
}

static void
check_csrf_tokens(void)
{
	char		token[RG_CSRF_TOKEN_SIZE];
	char		other[RG_CSRF_TOKEN_SIZE];
	char		longer[RG_CSRF_TOKEN_SIZE + 200];
	size_t		len = rg_csrf_token_make(id_a, secret_a, token);
	int			accepted = 0;

	ok(len == 86 && strlen(token) == len, "a token has 86 letters");
	ok(check_token(token) == RG_CSRF_OK, "its session takes it");
	rg_csrf_token_make(id_a, secret_a, other);
	ok(strcmp(token, other) != 0 && check_token(other) == RG_CSRF_OK, "two differ, and both are good");
	rg_csrf_token_make(id_b, secret_b, other);
	ok(check_token(other) == RG_CSRF_OTHER_SESSION, "another session's is told");
	rg_csrf_token_make(id_a, secret_b, other);
	ok(check_token(other) == RG_CSRF_FORGED, "one under another secret is forged");
	ok(check_token("") == RG_CSRF_MISSING, "none is missing");
	ok(check_token("abc") == RG_CSRF_MALFORMED, "a short one is malformed");
	memset(longer, 'A', sizeof longer);
	longer[sizeof longer - 1] = '\0';
	ok(check_token(longer) == RG_CSRF_MALFORMED, "a long one is malformed");
	for (size_t i = 0; i < len; i++)
	{
		char		was = token[i];

		token[i] = was == 'A' ? 'B' : 'A';
		accepted += check_token(token) == RG_CSRF_OK;
		token[i] = was;
	}
	ok(accepted == 0, "no letter of it can be changed");
}

#define OWN RG_ORIGIN_HEADER, "https://app.example"

static void
check_fetch_metadata(void)
{
	ok(rg_site_of(request_with("sec-fetch-site", "same-origin", NULL)) == RG_SITE_OWN, "same-origin is ours");
	ok(rg_site_of(request_with("sec-fetch-site", "none", NULL)) == RG_SITE_OWN, "none is the user");
	ok(rg_site_of(request_with("sec-fetch-site", "same-site", NULL)) == RG_SITE_SIBLING, "same-site is a sibling");
	ok(rg_site_of(request_with("sec-fetch-site", "cross-site", NULL)) == RG_SITE_CROSS, "cross-site is another");
	ok(rg_site_of(request_with("sec-fetch-site", "", NULL)) == RG_SITE_CROSS, "so is what is not known");
	ok(rg_site_of(request_with(OWN, "origin", "https://app.example", "sec-fetch-site", "cross-site",
							   RG_CORS_HEADER, "1", NULL)) == RG_SITE_CROSS, "whatever Origin says");
}

static RgSite
of_origin(const char *origin)
{
	return rg_site_of(request_with(OWN, "origin", origin, "referer", "https://app.example/", NULL));
}

static RgSite
of_referer(const char *referer)
{
	return rg_site_of(request_with(OWN, "referer", referer, NULL));
}

static void
check_origins(void)
{
	ok(of_origin("https://app.example") == RG_SITE_OWN, "our origin is ours");
	ok(of_origin("HTTPS://APP.example") == RG_SITE_OWN, "in any case");
	ok(of_origin("http://app.example") == RG_SITE_OTHER_ORIGIN, "another scheme is not");
	ok(of_origin("https://app.example:8443") == RG_SITE_OTHER_ORIGIN, "another port is not");
	ok(of_origin("https://app.example.evil") == RG_SITE_OTHER_ORIGIN, "a longer host is not");
	ok(of_origin("https://x.app.example") == RG_SITE_OTHER_ORIGIN, "a subdomain is not");
	ok(of_origin("null") == RG_SITE_OTHER_ORIGIN, "null is not");
	ok(of_origin("") == RG_SITE_OTHER_ORIGIN, "nothing is not, whatever Referer says");
	ok(rg_site_of(request_with("origin", "", NULL)) == RG_SITE_OTHER_ORIGIN, "nor where ours is not known");
	ok(rg_site_of(request_with(OWN, "origin", "https://spa.example", RG_CORS_HEADER, "1", NULL)) == RG_SITE_OWN,
	   "one of CORS_ORIGINS is");
	ok(of_referer("https://app.example/page?x#y") == RG_SITE_OWN, "a page of ours is ours");
	ok(of_referer("https://app.example") == RG_SITE_OWN, "the origin alone, too");
	ok(of_referer("https://app.example.evil/") == RG_SITE_OTHER_REFERER, "a longer host is not ours");
	ok(of_referer("https://app.example@evil/") == RG_SITE_OTHER_REFERER, "nor a user of another");
	ok(of_referer("https://evil/https://app.example/") == RG_SITE_OTHER_REFERER, "nor a path of another");
	ok(of_referer("https://evil?https://app.example/") == RG_SITE_OTHER_REFERER, "nor a query");
	ok(rg_site_of(request_with(OWN, NULL)) == RG_SITE_UNSAID, "without any nobody knows");
}

static void
check_session_cookie(void)
{
	uint8_t		secret[32];
	uint8_t		back[32];
	char		line[RG_SESSION_COOKIE_LINE_MAX];
	char		cookie[RG_SESSION_COOKIE_LINE_MAX];
	const char *name = "__Host-relay_sid=";

	randombytes_buf(secret, sizeof secret);
	rg_session_cookie_line(request_with(NULL), secret, 60, line);
	ok(strstr(line, "; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60") != NULL, "a cookie is for https and this host: %.12s", line);
	snprintf(cookie, sizeof cookie, "%.*s", 60, strstr(line, name));
	ok(rg_session_cookie_read(request_with("cookie", cookie, NULL), back) == RG_SESSION_OK &&
	   memcmp(secret, back, sizeof back) == 0, "and is read back");
	ok(rg_session_cookie_read(request_with("cookie", cookie + 7, NULL), back) == RG_SESSION_MALFORMED &&
	   !rg_session_cookie_sent(request_with("cookie", cookie + 7, NULL)), "without its prefix it is none");
	ok(rg_session_cookie_sent(request_with(RG_FLAGS_HEADER, "dev,plain-cookies", "cookie", cookie + 7, NULL)),
	   "unless http is allowed");
	ok(!rg_session_cookie_sent(request_with(RG_FLAGS_HEADER, "plain-cookies", "cookie", cookie, NULL)),
	   "and then it is the only one");
	cookie[59] = '\0';
	ok(rg_session_cookie_read(request_with("cookie", cookie, NULL), back) == RG_SESSION_MALFORMED, "a shorter one is malformed");
	ok(rg_session_cookie_read(request_with("cookie", "__Host-relay_sid=a; __Host-relay_sid=b", NULL), back) ==
	   RG_SESSION_DUPLICATE, "two are one too many");
	rg_session_cookie_line(request_with(RG_FLAGS_HEADER, "plain-cookies,samesite-none", NULL), NULL, 60, line);
	ok(strcmp(line, "Set-Cookie: relay_sid=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0") == 0, "it is removed as it was set");
	rg_session_cookie_line(request_with(RG_FLAGS_HEADER, "samesite-none", NULL), NULL, 60, line);
	ok(strstr(line, "Secure; HttpOnly; SameSite=None") != NULL, "None with Secure");
	ok(!rg_gateway_flag(request_with(RG_FLAGS_HEADER, "devil,xdev", NULL), RG_SLICE("dev")), "flags are whole words");
}

static bool
allowed(const char *name)
{
	return rg_response_header_allowed(rg_slice(name, strlen(name)));
}

static void
check_response_headers(void)
{
	static const char *const refused[] = {
		"", "Content-Length", "Transfer-Encoding", "Connection", "Set-Cookie", "Cache-Control", "ETag",
		"Access-Control-Allow-Origin", "Content-Security-Policy", "Strict-Transport-Security", "Clear-Site-Data",
		"Content-Type", "Server", "Date", "X-Frame-Options", "x-accel-redirect", "X-Relay-Flags", "X-", "X Y",
		"X-A:", "X-A\r\nSet-Cookie", "Proxy-Authenticate", "Upgrade", "Vary", "X-Request-ID", "Locatio", "Locations"
	};
	int			passed = 0;

	for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
		passed += allowed(refused[i]) && printf("# %s\n", refused[i]);
	ok(passed == 0, "what frames, protects or steers an answer is refused");
	ok(allowed("Location") && allowed("link") && allowed("X-Total-Count"), "what is harmless is allowed");
	ok(rg_response_header_value_valid(RG_SLICE("attachment; filename=\"a b\"")), "a value");
	ok(!rg_response_header_value_valid(RG_SLICE("a\r\nb")) && !rg_response_header_value_valid(RG_SLICE("")) &&
	   !rg_response_header_value_valid(RG_SLICE(" a")) && !rg_response_header_value_valid(RG_SLICE("a ")) &&
	   !rg_response_header_value_valid(RG_SLICE("\xc3\xa4")), "no value can end its line");
}

int
main(void)
{
	if (sodium_init() < 0)
		return 1;
	check_cookies();
	check_csrf_tokens();
	check_fetch_metadata();
	check_origins();
	check_session_cookie();
	check_response_headers();
	return done();
}
