/*
 * content.c
 *		Bytes with an ETag; content.h has the contract.
 */
#include "content.h"

#include <sodium.h>
#include <stdlib.h>

#include "gzip.h"

#define HASH_BYTES 16

/* Nobody should find two bodies of one ETag, so it is no checksum. */
void
rg_content_init(RgContent *content, RgSlice body, bool lasting)
{
	unsigned char hash[HASH_BYTES];

	memset(content, 0, sizeof *content);
	content->body = body;
	content->lasting = lasting;
	crypto_generichash(hash, sizeof hash, (const unsigned char *) body.data, body.len, NULL, 0);
	sodium_bin2hex(content->etag + 1, 2 * HASH_BYTES + 1, hash, sizeof hash);
	content->etag[0] = content->etag[1 + 2 * HASH_BYTES] = '"';
}

void
rg_content_free(RgContent *content)
{
	free((void *) content->gzip.data);
	content->gzip = rg_slice(NULL, 0);
}

/* Without memory for a copy it will be compressed again. */
static RgSlice
keep(RgContent *content, RgSlice gzip)
{
	char	   *copy = malloc(gzip.len);

	if (copy == NULL)
		return gzip;
	memcpy(copy, gzip.data, gzip.len);
	content->gzip = rg_slice(copy, gzip.len);
	return content->gzip;
}

RgSlice
rg_content_gzip(RgContent *content)
{
	RgSlice		gzip = {NULL, 0};

	if (content->gzip.data != NULL || content->useless)
		return content->gzip;
	switch (rg_gzip(content->body, &gzip))
	{
		case RG_GZIP_DONE:
			return content->lasting ? keep(content, gzip) : gzip;
		case RG_GZIP_USELESS:
			content->useless = true;
			break;
		case RG_GZIP_LATER:
			break;
	}
	return rg_slice(NULL, 0);
}
