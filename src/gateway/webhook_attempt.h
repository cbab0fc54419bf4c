/*
 * webhook_attempt.h
 *		One attempt to deliver a webhook, from its lease to the report of what came
 *		of it; what the files of webhooks share.
 */
#ifndef RG_WEBHOOK_ATTEMPT_H
#define RG_WEBHOOK_ATTEMPT_H

#include <stdint.h>

#include "config.h"
#include "proxy_loop.h"

/* For which an attempt is leased; no attempt may take longer (60 s, the database says). */
#define RG_WEBHOOK_LEASE INT64_C(120000000)

/* In the order of RG_COUNT_WEBHOOK_…: metrics.h. */
typedef enum RgWebhookResult
{
	RG_WEBHOOK_DELIVERED,		/* 2xx */
	RG_WEBHOOK_GONE,			/* 410: it wants no more */
	RG_WEBHOOK_REJECTED,		/* any other status, redirects too */
	RG_WEBHOOK_TIMEOUT,
	RG_WEBHOOK_UNREACHABLE,		/* no such name, or nobody listens */
	RG_WEBHOOK_UNTRUSTED,		/* its certificate does not say that it is it */
	RG_WEBHOOK_REFUSED_ADDRESS, /* not a public one */
	RG_WEBHOOK_REFUSED_URL,		/* not https, or with a user */
	RG_WEBHOOK_BROKEN			/* what it said is no answer */
} RgWebhookResult;

/* What the database has leased; strings end with NUL. */
typedef struct RgWebhookOrder
{
	const char *delivery;		/* a number, as that wrote it, like the next */
	const char *attempt;
	const char *url;
	const char *headers;		/* JSON: [name, value, …] */
	const char *body;			/* bytea in text format */
	const char *timeout_ms;
} RgWebhookOrder;

typedef struct RgWebhookAttempt
{
	RgTransfer	transfer;		/* first: proxy_loop.h */
	struct RgWebhookAttempt *previous;
	struct RgWebhookAttempt *next;
	const RgConfig *config;
	char	   *delivery;
	char	   *attempt;
	char	   *url;
	unsigned char *body;
	size_t		body_len;
	struct curl_slist *lines;
	long		timeout_ms;
	bool		plain;			/* http, which is for loopback alone */
	int64_t		started;
	int64_t		lease_end;

	/* What came of it */
	size_t		read;			/* bytes of the answer */
	int			status;			/* 0: no head of an answer came */
	bool		refused;		/* for its address, which reason names */
	RgWebhookResult result;
	int			retry_after;	/* seconds; 0: it did not say */
	char		reason[CURL_ERROR_SIZE];	/* printable ASCII; empty:
											 * delivered */
	char		error[CURL_ERROR_SIZE];

	/* Its report */
	bool		ended;
	bool		reporting;
	bool		put_off;		/* at least once */
	int64_t		report_at;
} RgWebhookAttempt;

/*
 * One that has not begun; NULL when memory is used up or the order is malformed.
 * Nothing points into the order afterwards.
 */
extern RgWebhookAttempt *rg_webhook_attempt_new(const RgConfig *config, const RgWebhookOrder *order)
			__attribute__((warn_unused_result));

extern void rg_webhook_attempt_free(RgWebhookAttempt *attempt);

/* Sets curl up, and the transfer's calls are the caller's; false with the result set. */
extern bool rg_webhook_attempt_set_up(RgWebhookAttempt *attempt)
			__attribute__((warn_unused_result));

/* libcurl is through with it: sets result, retry_after and reason. */
extern void rg_webhook_attempt_judge(RgWebhookAttempt *attempt, CURLcode code);

#endif
