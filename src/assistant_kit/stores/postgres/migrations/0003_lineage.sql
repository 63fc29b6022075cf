-- What is done to conversations as a whole: title, fork, rewind, delete, erase. These lock more than one row: each has a
-- transaction to itself.

-- A conversation needs its segment no more: remove it and its elders, as far as nobody else needs them.
CREATE FUNCTION assistant_kit.let_go(p_segment bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    s assistant_kit.segments;
BEGIN
    UPDATE assistant_kit.segments SET held = false WHERE segment = p_segment RETURNING * INTO s;
    IF NOT FOUND THEN
        DELETE FROM assistant_kit.records WHERE segment = p_segment;
        RETURN;
    END IF;
    WHILE NOT s.held LOOP
        IF s.children > 0 THEN
            -- What no child shares is in nobody's conversation.
            DELETE FROM assistant_kit.records r
            WHERE r.segment = s.segment
                AND r.seq > (SELECT max(child.base) FROM assistant_kit.segments child WHERE child.parent = s.segment);
            RETURN;
        END IF;
        DELETE FROM assistant_kit.records r WHERE r.segment = s.segment;
        DELETE FROM assistant_kit.segments WHERE segment = s.segment;
        UPDATE assistant_kit.segments SET children = children - 1 WHERE segment = s.parent RETURNING * INTO s;
        EXIT WHEN NOT FOUND;
    END LOOP;
END
$$;

-- Makes a segment that goes on after record `p_at` of a lineage, and returns it with the tokens up to there.
CREATE FUNCTION assistant_kit.branch(
    p_segment bigint, p_base integer, p_at integer, OUT segment bigint, OUT total_tokens bigint
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    elder bigint;
BEGIN
    segment := nextval('assistant_kit.segment_numbers');
    total_tokens := 0;
    IF p_at = 0 THEN
        RETURN;
    END IF;
    -- The segment in which the record stands itself: lineages stay as short as they can be.
    SELECT part.segment INTO elder FROM assistant_kit.lineage(p_segment, p_base) part
    WHERE part.above < p_at AND p_at <= part.upto;
    SELECT r.total_tokens INTO total_tokens FROM assistant_kit.records r WHERE r.segment = elder AND r.seq = p_at;
    INSERT INTO assistant_kit.segments AS s (segment, base, held, children) VALUES (elder, 0, true, 1)
    ON CONFLICT (segment) DO UPDATE SET children = s.children + 1;
    INSERT INTO assistant_kit.segments (segment, parent, base, held, children) VALUES (segment, elder, p_at, true, 0);
END
$$;

-- done | repeated | missing | audit
CREATE FUNCTION assistant_kit.rename(
    p_user text, p_conversation text, p_title text, p_payload bytea, p_salt bytea, p_digest bytea, OUT status text
)
LANGUAGE plpgsql AS $$
DECLARE
    old_title text;
BEGIN
    IF NOT assistant_kit.may_write(p_user, p_payload) THEN
        status := 'audit';
        RETURN;
    END IF;
    SELECT c.title INTO old_title FROM assistant_kit.conversations c
    WHERE c.user_name = p_user AND c.conversation = p_conversation
    FOR UPDATE;
    IF NOT FOUND OR old_title = p_title THEN
        status := CASE WHEN FOUND THEN 'repeated' ELSE 'missing' END;
        RETURN;
    END IF;
    UPDATE assistant_kit.conversations SET title = p_title
    WHERE user_name = p_user AND conversation = p_conversation;
    PERFORM assistant_kit.add_link(p_user, p_payload, p_salt, p_digest);
    status := 'done';
END
$$;

-- Makes an empty row for a fork; false when the name is taken. Waits for others that are about to take it.
CREATE FUNCTION assistant_kit.reserve(p_user text, p_source text, p_new text, p_at integer) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    moment double precision := assistant_kit.moment();
BEGIN
    INSERT INTO assistant_kit.conversations
        (user_name, conversation, segment, base, seq, fence, origin, created_at, updated_at)
    VALUES (p_user, p_new, 0, p_at, p_at, 0, p_source, moment, moment)
    ON CONFLICT (user_name, conversation) DO NOTHING;
    RETURN FOUND;
END
$$;

-- done | repeated | missing | exists | short (`records` are there) | audit
CREATE FUNCTION assistant_kit.fork(
    p_user text, p_source text, p_new text, p_at integer,
    p_payload bytea, p_salt bytea, p_digest bytea,
    OUT status text, OUT records integer
)
LANGUAGE plpgsql AS $$
DECLARE
    new_first boolean := p_new COLLATE "C" < p_source COLLATE "C";  -- rows are locked in the order of their names
    is_new boolean := false;
    source assistant_kit.conversations;
    made assistant_kit.conversations;
BEGIN
    IF NOT assistant_kit.may_write(p_user, p_payload) THEN
        status := 'audit';
        RETURN;
    END IF;
    IF new_first THEN
        is_new := assistant_kit.reserve(p_user, p_source, p_new, p_at);
    END IF;
    SELECT * INTO source FROM assistant_kit.conversations c
    WHERE c.user_name = p_user AND c.conversation = p_source FOR UPDATE;
    records := source.seq;
    IF records IS NULL OR NOT p_at BETWEEN 0 AND records THEN
        status := CASE WHEN records IS NULL THEN 'missing' ELSE 'short' END;
        IF is_new THEN
            DELETE FROM assistant_kit.conversations c WHERE c.user_name = p_user AND c.conversation = p_new;
        END IF;
        RETURN;
    END IF;
    IF NOT new_first THEN
        is_new := assistant_kit.reserve(p_user, p_source, p_new, p_at);
    END IF;
    IF NOT is_new THEN
        SELECT * INTO made FROM assistant_kit.conversations c
        WHERE c.user_name = p_user AND c.conversation = p_new;
        status := CASE WHEN made.origin = p_source AND made.seq = p_at THEN 'repeated' ELSE 'exists' END;
        RETURN;
    END IF;
    UPDATE assistant_kit.conversations c
    SET segment = b.segment, total_tokens = b.total_tokens, fence = nextval('assistant_kit.fences')
    FROM assistant_kit.branch(source.segment, source.base, p_at) b
    WHERE c.user_name = p_user AND c.conversation = p_new;
    PERFORM assistant_kit.add_link(p_user, p_payload, p_salt, p_digest);
    status := 'done';
END
$$;

-- done | repeated | lost | short (`records` are there) | audit
CREATE FUNCTION assistant_kit.rewind(
    p_user text, p_conversation text, p_fence bigint, p_to integer,
    p_payload bytea, p_salt bytea, p_digest bytea,
    OUT status text, OUT records integer
)
LANGUAGE plpgsql AS $$
DECLARE
    standing assistant_kit.conversations;
BEGIN
    IF NOT assistant_kit.may_write(p_user, p_payload) THEN
        status := 'audit';
        RETURN;
    END IF;
    SELECT * INTO standing FROM assistant_kit.conversations c
    WHERE c.user_name = p_user AND c.conversation = p_conversation AND c.fence = p_fence
    FOR UPDATE;
    IF NOT FOUND THEN
        status := 'lost';
        RETURN;
    END IF;
    records := standing.seq;
    IF NOT p_to BETWEEN 0 AND standing.seq THEN
        status := 'short';
        RETURN;
    END IF;
    IF p_to = standing.seq AND standing.state = 'idle' AND standing.open_turn IS NULL THEN
        status := 'repeated';
        RETURN;
    END IF;
    IF p_to < standing.seq THEN
        UPDATE assistant_kit.conversations c
        SET segment = b.segment, base = p_to, seq = p_to, total_tokens = b.total_tokens
        FROM assistant_kit.branch(standing.segment, standing.base, p_to) b
        WHERE c.user_name = p_user AND c.conversation = p_conversation;
        PERFORM assistant_kit.let_go(standing.segment);
    END IF;
    UPDATE assistant_kit.conversations c
    SET state = 'idle', open_turn = NULL, origin = NULL,
        updated_at = greatest(c.updated_at, assistant_kit.moment())
    WHERE c.user_name = p_user AND c.conversation = p_conversation;
    PERFORM assistant_kit.add_link(p_user, p_payload, p_salt, p_digest);
    status := 'done';
END
$$;

-- done | missing | busy (for `seconds`) | audit
CREATE FUNCTION assistant_kit.delete(
    p_user text, p_conversation text, p_payload bytea, p_salt bytea, p_digest bytea,
    OUT status text, OUT seconds double precision
)
LANGUAGE plpgsql AS $$
DECLARE
    standing assistant_kit.conversations;
BEGIN
    IF NOT assistant_kit.may_write(p_user, p_payload) THEN
        status := 'audit';
        RETURN;
    END IF;
    SELECT * INTO standing FROM assistant_kit.conversations c
    WHERE c.user_name = p_user AND c.conversation = p_conversation
    FOR UPDATE;
    IF NOT FOUND THEN
        status := 'missing';
        RETURN;
    END IF;
    seconds := standing.lease_until - assistant_kit.moment();
    IF standing.lease_owner IS NOT NULL AND seconds > 0 THEN
        status := 'busy';
        RETURN;
    END IF;
    DELETE FROM assistant_kit.conversations c WHERE c.user_name = p_user AND c.conversation = p_conversation;
    PERFORM assistant_kit.let_go(standing.segment);
    PERFORM assistant_kit.add_link(p_user, p_payload, p_salt, p_digest);
    status := 'done';
END
$$;

-- Deletes all that is kept of a user, and hands the chain, without its payloads, to `p_heir`. `records` says how many
-- conversations there were.
CREATE FUNCTION assistant_kit.erase(
    p_user text, p_heir text, p_payload bytea, p_salt bytea, p_digest bytea,
    OUT status text, OUT records integer
)
LANGUAGE plpgsql AS $$
DECLARE
    doomed record;
    erased bigint;
BEGIN
    IF NOT assistant_kit.may_write(p_user, p_payload) THEN
        status := 'audit';
        RETURN;
    END IF;
    status := 'done';
    records := 0;
    LOOP
        FOR doomed IN
            SELECT c.conversation, c.segment FROM assistant_kit.conversations c
            WHERE c.user_name = p_user ORDER BY c.conversation FOR UPDATE
        LOOP
            DELETE FROM assistant_kit.conversations c
            WHERE c.user_name = p_user AND c.conversation = doomed.conversation;
            PERFORM assistant_kit.let_go(doomed.segment);
            records := records + 1;
        END LOOP;
        EXIT WHEN NOT FOUND;  -- a fork that was under way is seen only by the next look
    END LOOP;
    UPDATE assistant_kit.chains SET user_name = p_heir WHERE user_name = p_user RETURNING chain INTO erased;
    UPDATE assistant_kit.links SET payload = NULL, salt = NULL WHERE chain = erased;
    IF erased IS NOT NULL OR records > 0 THEN
        PERFORM assistant_kit.add_link(p_heir, p_payload, p_salt, p_digest);
    END IF;
END
$$;
