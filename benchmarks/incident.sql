-- The incident that is measured, made set-wise by the owner: of every five orders, `payments` calculated two by pricing 1.9.0 (tax before
-- discount) and `checkout` three by 2.0.0. Every order has two lines and a discount, and so every one of 1.9.0 is wrong.
-- {rows} orders over 30 days.

INSERT INTO transactions_store (reference, name, country)
SELECT 'S' || lpad(n::text, 5, '0'), 'Store ' || n, (ARRAY['US', 'DE', 'FR', 'GB', 'NL'])[1 + n % 5]
FROM generate_series(1, 5000) AS n;

INSERT INTO transactions_release (service, calculator, version) VALUES
    ('payments', 'pricing', '1.9.0'), ('checkout', 'pricing', '2.0.0');
INSERT INTO transactions_ingestbatch (source, origin) VALUES ('bench', 'benchmarks/incident.sql');

CREATE TEMPORARY TABLE made ON COMMIT DROP AS
SELECT n, store.id AS store_id, store.reference AS store_reference, store.country,
       (ARRAY['USD', 'EUR', 'EUR', 'GBP', 'EUR'])[1 + store.id % 5] AS currency,
       (ARRAY[8875, 19000, 20000, 20000, 21000])[1 + store.id % 5] AS rate,
       timestamptz '2026-01-05 00:00Z' + n * interval '30 days' / {rows} AS occurred_at,
       1000 + (n * 7919) % 19000 AS price1, 1 + n % 3 AS quantity1,
       500 + (n * 104729) % 9000 AS price2, 1 + n % 2 AS quantity2,
       5 + n % 20 AS percent, 499 AS shipping, n % 5 < 2 AS wrong
FROM generate_series(1::bigint, {rows}) AS n
JOIN transactions_store store ON store.id = 1 + (n * 31) % 5000;

INSERT INTO transactions_transaction
    (source, reference, store_id, currency, scale, occurred_at, inputs, facts_hash, batch_id)
SELECT 'bench', facts.reference, store_id, currency, 2, occurred_at, inputs,
       amends_facts_hash('bench', facts.reference, store_reference, currency, 2::smallint, occurred_at, inputs),
       (SELECT id FROM transactions_ingestbatch)
FROM (
    SELECT made.*, 'order-' || lpad(n::text, 9, '0') AS reference, jsonb_build_object(
        'country', country,
        'lines', jsonb_build_array(
            jsonb_build_object('sku', 'SKU-' || n % 997, 'quantity', quantity1::text,
                               'unit_price', price1 / 100 || '.' || lpad((price1 % 100)::text, 2, '0')),
            jsonb_build_object('sku', 'SKU-' || n % 787, 'quantity', quantity2::text,
                               'unit_price', price2 / 100 || '.' || lpad((price2 % 100)::text, 2, '0'))),
        'discount', jsonb_build_object('kind', 'percent', 'value', percent::text),
        'shipping', '4.99') AS inputs
    FROM made
) AS facts
ORDER BY n;

INSERT INTO transactions_calculation (transaction_id, release_id, amounts, total, calculated_at, batch_id)
SELECT id, release_id, jsonb_build_object('subtotal', subtotal, 'discount', -discount, 'shipping', shipping, 'tax', tax,
                                          'total', subtotal - discount + shipping + tax),
       subtotal - discount + shipping + tax, occurred_at + interval '2 seconds', (SELECT id FROM transactions_ingestbatch)
FROM (
    SELECT t.id, made.*, release.id AS release_id, quantity1 * price1 + quantity2 * price2 AS subtotal,
           CASE WHEN wrong THEN (2 * (quantity1 * price1 + quantity2 * price2) * percent + 100) / 200 ELSE off1 + off2 END AS discount,
           CASE WHEN wrong THEN (2 * (quantity1 * price1 + quantity2 * price2 + shipping)::bigint * rate + 100000) / 200000
                ELSE (2 * shipping::bigint * rate + 100000) / 200000
                     + (2 * (quantity1 * price1 - off1)::bigint * rate + 100000) / 200000
                     + (2 * (quantity2 * price2 - off2)::bigint * rate + 100000) / 200000 END AS tax
    FROM (
        SELECT made.*, (2 * quantity1 * price1 * percent + 100) / 200 AS off1, (2 * quantity2 * price2 * percent + 100) / 200 AS off2
        FROM made
    ) AS made
    JOIN transactions_transaction t ON t.source = 'bench' AND t.reference = 'order-' || lpad(n::text, 9, '0')
    JOIN transactions_release release ON release.version = CASE WHEN wrong THEN '1.9.0' ELSE '2.0.0' END
) AS calculated
ORDER BY n;

INSERT INTO transactions_currentcalculation (transaction_id, calculation_id)
SELECT transaction_id, id FROM transactions_calculation ORDER BY transaction_id;

-- The pointers were not moved by the functions that count their moves.
SELECT amends_rebuild_counts();
