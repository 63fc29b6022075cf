"""The tests; a package so that a test can import what another folder here offers."""
