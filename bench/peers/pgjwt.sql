-- What the extension pgjwt does, for which there is no Debian package: tokens
-- checked in SQL, with pgcrypto's hmac()
CREATE EXTENSION IF NOT EXISTS pgcrypto SCHEMA public;
CREATE SCHEMA pgjwt;

CREATE FUNCTION pgjwt.url_encode(data bytea) RETURNS text LANGUAGE sql IMMUTABLE AS
$$ SELECT translate(encode(data, 'base64'), E'+/=\n', '-_') $$;

CREATE FUNCTION pgjwt.url_decode(data text) RETURNS bytea LANGUAGE sql IMMUTABLE AS
$$
	SELECT decode(rpad(plain, (length(plain) + 3) / 4 * 4, '='), 'base64')
	FROM translate(data, '-_', '+/') AS plain
$$;

CREATE FUNCTION pgjwt.algorithm_sign(signables text, secret text, algorithm text) RETURNS text
LANGUAGE sql IMMUTABLE AS
$$
	SELECT pgjwt.url_encode(public.hmac(signables, secret,
		CASE algorithm WHEN 'HS256' THEN 'sha256' WHEN 'HS384' THEN 'sha384' WHEN 'HS512' THEN 'sha512' END))
$$;

CREATE FUNCTION pgjwt.try_cast_double(value text) RETURNS double precision
LANGUAGE plpgsql IMMUTABLE AS
$$
BEGIN
	RETURN value::double precision;
EXCEPTION WHEN others THEN
	RETURN NULL;
END
$$;

CREATE FUNCTION pgjwt.verify(token text, secret text, algorithm text DEFAULT 'HS256',
	OUT header json, OUT payload json, OUT valid boolean)
LANGUAGE sql IMMUTABLE AS
$$
	SELECT header, payload,
		sealed AND tstzrange(to_timestamp(pgjwt.try_cast_double(payload ->> 'nbf')),
							 to_timestamp(pgjwt.try_cast_double(payload ->> 'exp'))) @> CURRENT_TIMESTAMP
	FROM (SELECT convert_from(pgjwt.url_decode(part[1]), 'utf8')::json AS header,
				 convert_from(pgjwt.url_decode(part[2]), 'utf8')::json AS payload,
				 part[3] = pgjwt.algorithm_sign(part[1] || '.' || part[2], secret, algorithm) AS sealed
		  FROM string_to_array(token, '.') AS part) AS token
$$;
