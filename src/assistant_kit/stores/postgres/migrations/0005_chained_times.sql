-- Where an audit log is kept, records bear the time of the link that notes them, and what the link says has their fence:
-- so neither can be changed unseen.

-- Adds a link at a time in microseconds: SHA-256 of the link before, the digest, and the time as 8 bytes.
CREATE FUNCTION assistant_kit.add_link_at(
    p_user text, p_payload bytea, p_salt bytea, p_digest bytea, p_at_us bigint
) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO assistant_kit.chains (user_name, n, at_us, link)
    VALUES (p_user, 0, 0, decode(repeat('00', 32), 'hex'))
    ON CONFLICT (user_name) DO NOTHING;
    WITH head AS (
        UPDATE assistant_kit.chains c
        SET n = c.n + 1,
            at_us = greatest(c.at_us, p_at_us),
            link = sha256(c.link || p_digest || int8send(greatest(c.at_us, p_at_us)))
        WHERE c.user_name = p_user
        RETURNING c.chain, c.n, c.at_us, c.link
    )
    INSERT INTO assistant_kit.links (chain, n, at_us, payload, salt, digest, link)
    SELECT head.chain, head.n, head.at_us, p_payload, p_salt, p_digest, head.link FROM head;
END
$$;

CREATE OR REPLACE FUNCTION assistant_kit.add_link(p_user text, p_payload bytea, p_salt bytea, p_digest bytea)
RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF p_payload IS NOT NULL THEN
        PERFORM assistant_kit.add_link_at(
            p_user, p_payload, p_salt, p_digest, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
        );
    END IF;
END
$$;

-- done | repeated | lost | conflict (`records` are there) | audit (it must bring what is chained)
CREATE OR REPLACE FUNCTION assistant_kit.append(
    p_user text, p_conversation text, p_fence bigint, p_expected integer,
    p_ids text[], p_kinds text[], p_bodies bytea[], p_tokens integer[],
    p_state text, p_open_turn integer, p_release boolean,
    p_payload bytea, p_salt bytea, p_digest bytea,
    OUT status text, OUT records integer
)
LANGUAGE plpgsql AS $$
DECLARE
    amount integer := cardinality(p_ids);
    added bigint := 0;
    some_tokens integer;
    place record;
    standing assistant_kit.conversations;
    is_there boolean;
    last_fence bigint;
    chained_at double precision;
BEGIN
    IF amount > 0 AND NOT assistant_kit.may_write(p_user, p_payload) THEN
        status := 'audit';
        RETURN;
    END IF;
    IF p_payload IS NOT NULL THEN
        -- Read under the lock of the chain: its times never fall.
        SELECT c.at_us / 1e6 INTO chained_at FROM assistant_kit.chains c WHERE c.user_name = p_user;
    END IF;
    FOREACH some_tokens IN ARRAY p_tokens LOOP
        added := added + some_tokens;
    END LOOP;
    UPDATE assistant_kit.conversations c
    SET seq = c.seq + amount,
        total_tokens = c.total_tokens + added,
        state = p_state,
        open_turn = p_open_turn,
        origin = NULL,
        updated_at = greatest(c.updated_at, assistant_kit.moment(), chained_at),
        fence = CASE WHEN p_release THEN nextval('assistant_kit.fences') ELSE c.fence END,
        lease_owner = CASE WHEN p_release THEN NULL ELSE c.lease_owner END
    WHERE c.user_name = p_user AND c.conversation = p_conversation AND c.fence = p_fence AND c.seq = p_expected
        AND NOT EXISTS (SELECT FROM assistant_kit.records r WHERE r.segment = c.segment AND r.record_id = ANY (p_ids))
        AND (c.base = 0 OR NOT assistant_kit.taken(c.segment, c.base, p_ids))
    RETURNING c.segment, c.total_tokens - added AS total, c.updated_at INTO place;
    IF FOUND THEN
        FOR i IN 1..amount LOOP
            place.total := place.total + p_tokens[i];
            INSERT INTO assistant_kit.records
                (segment, seq, record_id, kind, body, tokens, total_tokens, fence, at)
            VALUES (
                place.segment, p_expected + i, p_ids[i], p_kinds[i], p_bodies[i], p_tokens[i],
                place.total, p_fence, place.updated_at
            );
        END LOOP;
        IF amount > 0 AND p_payload IS NOT NULL THEN
            PERFORM assistant_kit.add_link_at(
                p_user, p_payload, p_salt, p_digest, round(place.updated_at * 1000000)::bigint
            );
        END IF;
        status := 'done';
        RETURN;
    END IF;

    SELECT * INTO standing FROM assistant_kit.conversations c
    WHERE c.user_name = p_user AND c.conversation = p_conversation;
    records := standing.seq;
    -- The very same records at the very same place: the acknowledgement was lost.
    SELECT array_agg(r.record_id ORDER BY r.seq) = p_ids, max(r.fence) FILTER (WHERE r.seq = p_expected + amount)
    INTO is_there, last_fence
    FROM assistant_kit.lineage(standing.segment, standing.base) part
    CROSS JOIN LATERAL (
        SELECT r.record_id, r.seq, r.fence FROM assistant_kit.records r
        WHERE r.segment = part.segment
            AND r.seq > greatest(part.above, p_expected) AND r.seq <= least(part.upto, p_expected + amount)
        OFFSET 0  -- looked up for each part
    ) r;
    is_there := coalesce(is_there, false);
    IF standing.fence IS DISTINCT FROM p_fence THEN
        -- A last write that gave the lease up may be repeated: it took place if these are its records.
        status := CASE WHEN is_there AND p_release AND last_fence = p_fence THEN 'repeated' ELSE 'lost' END;
    ELSE
        status := CASE WHEN is_there THEN 'repeated' ELSE 'conflict' END;
    END IF;
END
$$;

-- done | busy (for `seconds`) | audit. The state is that before the turn was begun. What is chained has `"fence":null`.
CREATE OR REPLACE FUNCTION assistant_kit.claim(
    p_user text, p_conversation text, p_owner text, p_ttl double precision,
    p_id text, p_kind text, p_body bytea, p_tokens integer,
    p_payload bytea, p_salt bytea, p_digest bytea,
    OUT status text, OUT seconds double precision,
    OUT fence bigint, OUT seq integer, OUT at double precision, OUT state text, OUT open_turn integer, OUT begun boolean
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    IF p_id IS NOT NULL AND NOT assistant_kit.may_write(p_user, p_payload) THEN
        status := 'audit';
        RETURN;
    END IF;
    at := assistant_kit.moment();
    INSERT INTO assistant_kit.conversations AS c
        (user_name, conversation, segment, fence, lease_owner, lease_until, created_at, updated_at)
    VALUES (
        p_user, p_conversation, nextval('assistant_kit.segment_numbers'), nextval('assistant_kit.fences'),
        p_owner, at + p_ttl, at, at
    )
    ON CONFLICT (user_name, conversation) DO UPDATE
    SET fence = nextval('assistant_kit.fences'),  -- read again: this row was locked only now
        lease_owner = p_owner,
        lease_until = assistant_kit.moment() + p_ttl
    WHERE c.lease_owner IS NULL OR c.lease_owner = p_owner OR c.lease_until <= assistant_kit.moment()
    RETURNING c.fence, c.seq, c.lease_until - p_ttl, c.state, c.open_turn INTO fence, seq, at, state, open_turn;
    IF fence IS NULL THEN
        status := 'busy';
        SELECT c.lease_until - assistant_kit.moment() INTO seconds FROM assistant_kit.conversations c
        WHERE c.user_name = p_user AND c.conversation = p_conversation;
        RETURN;
    END IF;
    status := 'done';
    begun := false;
    IF p_id IS NOT NULL AND state = 'idle' THEN
        IF p_payload IS NOT NULL THEN
            p_payload := convert_to(
                replace(convert_from(p_payload, 'UTF8'), '"fence":null', '"fence":' || fence), 'UTF8'
            );
            p_digest := sha256(p_salt || p_payload);
        END IF;
        SELECT a.status = 'done' INTO begun FROM assistant_kit.append(
            p_user, p_conversation, fence, seq, ARRAY[p_id], ARRAY[p_kind], ARRAY[p_body], ARRAY[p_tokens],
            'open', seq + 1, false, p_payload, p_salt, p_digest
        ) a;
    END IF;
END
$$;
