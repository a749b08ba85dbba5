-- +goose Up

-- Each create looks three times into the index that keeps tables from being sold twice. With the ids of
-- the venue and of the table in front, PostgreSQL unpacked and compared texts on every entry of every page
-- on its way, and that was more than half of what a create cost it. A number in front decides nearly all
-- of these comparisons: the venue's hash in its upper half, so that a venue's entries lie together, and
-- the table's in its lower. The ids at the end decide about the rest: two tables with the same number are
-- still two tables. hashtext is no promise of PostgreSQL's, but what it keeps hash-partitioned tables and
-- hash indexes by through pg_upgrade; a major version that changed it would ask for both to be rebuilt, and
-- this column with them. A dump that is restored computes it anew.

-- The constraint goes first, so that the new column does not build its index once more.
ALTER TABLE table_occupancies DROP CONSTRAINT table_occupancies_no_overlap;
ALTER TABLE table_occupancies
    ADD COLUMN place_hash BIGINT NOT NULL GENERATED ALWAYS AS
        ((hashtext(venue_id)::bigint << 32) | (hashtext(table_id)::bigint & 4294967295)) STORED;
ALTER TABLE table_occupancies ADD CONSTRAINT table_occupancies_no_overlap
    EXCLUDE USING gist (place_hash WITH =, during WITH &&, venue_id WITH =, table_id WITH =);

-- +goose Down

ALTER TABLE table_occupancies DROP CONSTRAINT table_occupancies_no_overlap;
ALTER TABLE table_occupancies DROP COLUMN place_hash;
ALTER TABLE table_occupancies ADD CONSTRAINT table_occupancies_no_overlap
    EXCLUDE USING gist (venue_id WITH =, table_id WITH =, during WITH &&);
