-- What opens() has opened is not opened again for the value, and for nothing else.
CREATE TABLE kept (id int PRIMARY KEY, value bytea);
INSERT INTO kept SELECT i, relay_guard.encrypt(CASE i WHEN 3 THEN repeat('long ', 1000) ELSE 'value ' || i END, relay_guard.aad('kept', i::text))
FROM generate_series(1, 4) AS i;
INSERT INTO kept SELECT 5, relay_guard.encrypt('', relay_guard.aad('kept', '5'));

-- the same, an empty and a long one included
SELECT id, left(relay_guard.opened_text(value, relay_guard.aad('kept', id::text)), 12) AS value
FROM kept WHERE relay_guard.opens(value, relay_guard.aad('kept', id::text)) ORDER BY id;
-- as often as one likes
SELECT relay_guard.opens(value, relay_guard.aad('kept', '1')), relay_guard.opened_text(value, relay_guard.aad('kept', '1')),
	relay_guard.opened_text(value, relay_guard.aad('kept', '1')) FROM kept WHERE id = 1;
-- more than are kept
SELECT count(*), count(relay_guard.opened_text(value, relay_guard.aad('many', id::text)))
FROM (SELECT i AS id, relay_guard.encrypt('v', relay_guard.aad('many', i::text)) AS value FROM generate_series(1, 9) AS i OFFSET 0) m
WHERE relay_guard.opens(value, relay_guard.aad('many', id::text));

-- neither with another AAD, nor when a bit of it differs, nor cut short
SELECT relay_guard.opens(value, relay_guard.aad('kept', '1')) AS opens,
	relay_guard.opened_text(value, relay_guard.aad('kept', '2')) AS other_row,
	relay_guard.opened_text(value, relay_guard.aad('else', '1')) AS other_column,
	relay_guard.opened_text(set_byte(value, 30, get_byte(value, 30) # 1), relay_guard.aad('kept', '1')) AS flipped,
	relay_guard.opened_text(set_byte(value, length(value) - 1, get_byte(value, length(value) - 1) # 1), relay_guard.aad('kept', '1')) AS tag,
	relay_guard.opened_text(substring(value, 1, length(value) - 1), relay_guard.aad('kept', '1')) AS cut
FROM kept WHERE id = 1;
-- as another kind it is the same bytes
SELECT relay_guard.opens(value, relay_guard.aad('kept', '2')), relay_guard.opened_bytea(value, relay_guard.aad('kept', '2')) FROM kept WHERE id = 2;
DROP TABLE kept;
