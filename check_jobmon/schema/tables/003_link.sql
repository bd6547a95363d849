-- The link: how the logging functions reach their own database to write outside the caller's transaction.

CREATE TABLE @schema@.dblink_mapping (
    username text,
    port     text,
    pwd      text,
    host     text
);
CREATE UNIQUE INDEX dblink_mapping_one_row ON @schema@.dblink_mapping ((true));
COMMENT ON TABLE @schema@.dblink_mapping IS
    'Overrides how the link connects: at most one row; a NULL column keeps what bootstrap found. '
    'Only needed where bootstrap says that the link can''t connect.';

CREATE TABLE @schema@.link (
    role_name name NOT NULL,
    password  text NOT NULL,
    mac_key   bytea NOT NULL,
    over      text NOT NULL DEFAULT 'socket' CHECK (over IN ('socket', 'tcp'))
);
CREATE UNIQUE INDEX link_one_row ON @schema@.link ((true));
COMMENT ON TABLE @schema@.link IS
    'The link''s own role and secrets, made and kept by bootstrap. For the owner''s eyes only.';
COMMENT ON COLUMN @schema@.link.mac_key IS
    'signs what add_job() sends over the link, so that nobody else using the link can log in another''s name';
COMMENT ON COLUMN @schema@.link.over IS 'which way to the server bootstrap found to work';
REVOKE ALL ON @schema@.link, @schema@.dblink_mapping FROM PUBLIC;
