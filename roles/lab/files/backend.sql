-- The database of the lab's back-end, whose one row says what the variable "row" says. Prints "made" when it was not so.
SELECT 'CREATE ROLE shop LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'shop') \gexec
SELECT 'CREATE DATABASE shop OWNER shop' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'shop') \gexec
\connect shop
SET client_min_messages = warning;
CREATE TABLE IF NOT EXISTS goods (name text PRIMARY KEY);
GRANT SELECT ON goods TO shop;
INSERT INTO goods VALUES (:'row') ON CONFLICT DO NOTHING RETURNING 'made';
DELETE FROM goods WHERE name <> :'row' RETURNING 'made';
