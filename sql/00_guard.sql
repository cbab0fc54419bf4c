\echo Use "CREATE EXTENSION relay_guard" to load this file. \quit
