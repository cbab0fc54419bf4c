/*
 * ring_text.h
 *		The text of a key ring in memory, and what can be changed in it.
 *
 * Comments, blank lines and the order of lines stay as they are.  A text that is
 * no ring is refused, and nothing is made that is none.  error says why, as a
 * whole message without a byte of a key.
 *
 * Pure C: shared by the extension, the gateway, unit tests and fuzzers.
 */
#ifndef RG_RING_TEXT_H
#define RG_RING_TEXT_H

#include "ring.h"

#define RG_RING_MAX_TEXT 65536

/* In libsodium's guarded memory; rg_ring_text_free() wipes it. */
typedef struct RgRingText
{
	char	   *data;			/* NULL: nothing */
	size_t		len;
} RgRingText;

/* Room for so many bytes; false when there is none. */
extern bool rg_ring_text_new(RgRingText *text, size_t size)
			__attribute__((warn_unused_result));
extern void rg_ring_text_free(RgRingText *text);

/* A ring of one new key. */
extern bool rg_ring_text_first(RgRingText *out, char *error, size_t error_size)
			__attribute__((warn_unused_result));

/*
 * Adds a new key, whose id is the highest and one; it takes over as primary
 * key, or with active only joins the others.
 */
extern bool rg_ring_text_add(RgSlice text, bool active, uint32_t *id, RgRingText *out,
							 char *error, size_t error_size)
			__attribute__((warn_unused_result));

/*
 * Makes a key the primary one; the former stays active.  One that is retired
 * is refused unless that was meant.
 */
extern bool rg_ring_text_promote(RgSlice text, uint32_t id, bool retired, RgRingText *out,
								 char *error, size_t error_size)
			__attribute__((warn_unused_result));

/* Retires a key that is not the primary one. */
extern bool rg_ring_text_retire(RgSlice text, uint32_t id, RgRingText *out,
								char *error, size_t error_size)
			__attribute__((warn_unused_result));

/* Whether fresh has every key of former; what opens no more is lost. */
extern bool rg_ring_covers(const RgRing *fresh, const RgRing *former,
						   char *error, size_t error_size)
			__attribute__((warn_unused_result));

#endif
