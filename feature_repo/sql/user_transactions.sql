-- ml_data.user_transaction_features for the window [$window_start, $window_end): one row a user,
-- the state of the last seven days at the window's end, from what happened before that end.
-- A user whose last transaction fell out of the seven days during this window gets one row with a
-- count of zero; without it the online store would go on serving the last count above zero.
WITH seen AS (
    SELECT user_id, merchant_id, amount, transaction_timestamp
    FROM raw.transactions
    WHERE transaction_timestamp >= $window_start - INTERVAL 7 DAY
      AND transaction_timestamp < $window_end
),

users AS (
    SELECT DISTINCT user_id FROM seen
),

last_7_days AS (
    SELECT user_id, merchant_id, amount, transaction_timestamp
    FROM seen
    WHERE transaction_timestamp >= $window_end - INTERVAL 7 DAY
)

SELECT
    CAST(users.user_id AS VARCHAR) AS user_id,
    CAST(COUNT(recent.user_id) AS BIGINT) AS transaction_count_7d,
    CAST(AVG(recent.amount) AS REAL) AS transaction_amount_avg_7d,
    CAST(MAX(recent.amount) AS REAL) AS transaction_amount_max_7d,
    CAST(COUNT(DISTINCT recent.merchant_id) AS BIGINT) AS unique_merchants_7d,
    -- Hours. The gaps between n transactions add up to the time from the first to the last.
    CAST(
        (EPOCH(MAX(recent.transaction_timestamp)) - EPOCH(MIN(recent.transaction_timestamp)))
        / 3600 / NULLIF(COUNT(recent.user_id) - 1, 0) AS REAL
    ) AS avg_time_between_transactions,
    CAST($window_end - INTERVAL 1 MICROSECOND AS TIMESTAMPTZ) AS event_timestamp,
    CAST($computed_at AS TIMESTAMPTZ) AS created_timestamp
FROM users
LEFT JOIN last_7_days AS recent ON recent.user_id = users.user_id
GROUP BY users.user_id
ORDER BY users.user_id
