/*
 * test_accept_encoding.c
 *		Who takes gzip.
 */
#include "gateway/accept_encoding.h"
#include "tap.h"

static const struct
{
	const char *header;
	bool		gzip;
}			cases[] =

{
	{"gzip", true},
	{"GZip", true},
	{"x-gzip", true},
	{"gzip, deflate, br", true},
	{"deflate , gzip", true},
	{"br;q=1.0, gzip;q=0.8, *;q=0.1", true},
	{"gzip;q=0", false},
	{"gzip;q=0.0", false},
	{"gzip;q=0.000", false},
	{"gzip;q=0.001", true},
	{"gzip; q=1", true},
	{"gzip;Q=0.5", true},
	{"gzip ; q = 0", false},
	{"*", true},
	{"*;q=0", false},
	{"*;q=0, gzip", true},
	{"gzip;q=0, *", false},
	{"identity", false},
	{"identity, gzip;q=0.5", false},
	{"identity;q=0.5, gzip;q=0.5", true},
	{"identity;q=0, gzip;q=0", false},
	{"identity;q=0, *", true},
	{"deflate", false},
	{"gzipx", false},
	{"agzip", false},
	{"gzip;q=2", false},
	{"gzip;q=1.001", false},
	{"gzip;q=0.0001", false},
	{"gzip;q=", false},
	{"gzip;q=x", false},
	{"gzip;q=-1", false},
	{"gzip;level=9", true},
	{"", false},
	{",,;,;q=1,", false},
};

int
main(void)
{
	RgSlice		absent = {NULL, 0};

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ok(rg_accepts_gzip(rg_slice(cases[i].header, strlen(cases[i].header))) == cases[i].gzip,
		   "\"%s\" %s gzip", cases[i].header, cases[i].gzip ? "takes" : "does not take");
	ok(!rg_accepts_gzip(absent), "nothing said is nothing taken");
	return done();
}
