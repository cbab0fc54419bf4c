/*
 * frame.h
 *		The two binary frames of relay_guard.serve(bytea): what the gateway
 *		sends for a request and what comes back.
 *
 * Request:	method NUL path NUL query NUL client address [16] request id NUL
 *			uint32 header count, (name NUL value NUL)*, body to the end
 * Reply:	uint32 status, uint32 body length, body,
 *			uint32 length + header lines ("name: value CRLF"),
 *			uint32 length + route template, uint32 length + order (JSON: what to do
 *			instead of sending the body; mostly empty),
 *			uint32 length + limits (rate_block.h),
 *			uint32 length + validator (held.h), uint32 signals
 *
 * Integers are big-endian.  The path is as the client sent it, percent
 * escapes included, without the query; header names are lower case; the
 * address is IPv6, with IPv4 mapped (::ffff:a.b.c.d).  A reply's route is
 * empty when no route matched; its limits are there when they are what refused
 * the request, and the gateway may repeat the refusal; its validator when the
 * gateway may keep the body and show that validator with the next such request.
 *
 * Pure C: shared by the extension, the gateway, unit tests and fuzzers.
 */
#ifndef RG_FRAME_H
#define RG_FRAME_H

#include <stdint.h>

#include "slice.h"

#define RG_FRAME_MAX_HEADERS 32

typedef struct RgHeader
{
	RgSlice		name;
	RgSlice		value;
} RgHeader;

typedef struct RgRequest
{
	RgSlice		method;
	RgSlice		path;
	RgSlice		query;
	uint8_t		client_ip[16];
	RgSlice		request_id;
	int			nheaders;
	RgHeader	headers[RG_FRAME_MAX_HEADERS];
	RgSlice		body;
} RgRequest;

/* What the gateway is told beside the answer. */
#define RG_SIGNAL_UNKNOWN_KEY 1u	/* a token names a key that is not known */
#define RG_SIGNAL_SLOW 2u		/* nothing was done: ask on the slow lane */
#define RG_SIGNAL_CACHEABLE 4u	/* the body may be kept by the client too */
#define RG_SIGNAL_HELD 8u		/* and is what the gateway has shown */
#define RG_SIGNAL_WEBHOOK 16u	/* webhooks were written: ask for them now */

typedef struct RgReply
{
	int			status;
	RgSlice		body;
	RgSlice		headers;		/* complete lines, each ended by CRLF */
	RgSlice		route;
	RgSlice		order;
	RgSlice		limits;
	RgSlice		validator;		/* a text that fits into a header */
	uint32_t	signals;		/* RG_SIGNAL_…; unknown ones mean nothing */
} RgReply;

/*
 * Reads a request frame.  The slices point into the frame.  False when the
 * frame is not whole or has more than RG_FRAME_MAX_HEADERS headers.
 */
extern bool rg_request_parse(RgSlice frame, RgRequest *request)
			__attribute__((warn_unused_result));

/* The bytes rg_request_write() needs. */
extern size_t rg_request_size(const RgRequest *request);

/* Writes the frame to out, which holds rg_request_size() bytes. */
extern void rg_request_write(const RgRequest *request, char *out);

/* The value of the header of that lower-case name; data NULL when absent. */
extern RgSlice rg_request_header(const RgRequest *request, const char *name);

/* Only the signals of a reply frame; 0 when it is none. */
extern uint32_t rg_reply_signals(RgSlice frame);

/* Reads a reply frame.  The slices point into the frame. */
extern bool rg_reply_parse(RgSlice frame, RgReply *reply)
			__attribute__((warn_unused_result));

#endif
