-- ml_data.merchant_statistics for the window [$window_start, $window_end): one row a merchant, the
-- state of the last thirty days at the window's end, from what was known before that end.
-- A chargeback counts from when it was reported, which is days after its transaction.
-- A merchant whose last transaction fell out of the thirty days during this window gets one row
-- with a total of zero, so that the online store does not go on serving the last one above zero.
WITH seen AS (
    SELECT transaction_id, merchant_id, amount, transaction_timestamp
    FROM raw.transactions
    WHERE transaction_timestamp >= $window_start - INTERVAL 30 DAY
      AND transaction_timestamp < $window_end
),

merchants AS (
    SELECT DISTINCT merchant_id FROM seen
),

reported AS (
    SELECT DISTINCT transaction_id
    FROM raw.chargebacks
    WHERE reported_timestamp < $window_end
),

last_30_days AS (
    SELECT
        seen.merchant_id,
        seen.amount,
        CASE WHEN reported.transaction_id IS NULL THEN 0 ELSE 1 END AS charged_back
    FROM seen
    LEFT JOIN reported ON reported.transaction_id = seen.transaction_id
    WHERE seen.transaction_timestamp >= $window_end - INTERVAL 30 DAY
),

-- The chargeback rate of all merchants together, never zero: one imagined chargeback among a
-- hundred imagined transactions stands in for a past that has no chargebacks yet.
average AS (
    SELECT (COALESCE(SUM(charged_back), 0) + 1) / (COUNT(*) + 100) AS rate
    FROM last_30_days
),

per_merchant AS (
    SELECT
        merchants.merchant_id,
        COUNT(recent.merchant_id) AS transactions,
        COALESCE(SUM(recent.charged_back), 0) AS chargebacks,
        AVG(recent.amount) AS avg_amount
    FROM merchants
    LEFT JOIN last_30_days AS recent ON recent.merchant_id = merchants.merchant_id
    GROUP BY merchants.merchant_id
),

-- Few transactions say little about a merchant, so each rate is pulled towards the average by the
-- weight of 50 transactions (empirical Bayes with a beta prior of that strength).
smoothed AS (
    SELECT
        per_merchant.merchant_id,
        per_merchant.transactions,
        per_merchant.chargebacks,
        per_merchant.avg_amount,
        average.rate AS average_rate,
        (per_merchant.chargebacks + 50 * average.rate) / (per_merchant.transactions + 50) AS rate
    FROM per_merchant
    CROSS JOIN average
)

SELECT
    CAST(merchant_id AS VARCHAR) AS merchant_id,
    CAST(chargebacks / NULLIF(transactions, 0) AS REAL) AS chargeback_rate_30d,
    CAST(avg_amount AS REAL) AS avg_transaction_amount,
    CAST(transactions AS BIGINT) AS total_transactions_30d,
    CAST(rate / (rate + average_rate) AS REAL) AS risk_score,
    CAST($window_end - INTERVAL 1 MICROSECOND AS TIMESTAMPTZ) AS event_timestamp
FROM smoothed
ORDER BY merchant_id
