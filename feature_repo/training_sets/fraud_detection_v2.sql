-- Transactions of the window [$window_start, $window_end), each with what it turned out to be. The
-- transactions are real; the chargebacks, and so the labels, are simulated (see README). A label
-- grows up: run for a young window it misses the chargebacks that are yet to be reported, and a
-- later run makes a new version of the snapshot.
SELECT
    transactions.transaction_id,
    transactions.user_id,
    transactions.merchant_id,
    CAST(transactions.amount AS DOUBLE) AS amount,
    transactions.transaction_timestamp AS event_timestamp,
    chargebacks.transaction_id IS NOT NULL AS is_fraud
FROM raw.transactions AS transactions
LEFT JOIN raw.chargebacks AS chargebacks
    ON chargebacks.transaction_id = transactions.transaction_id
    AND chargebacks.reported_timestamp < $computed_at
WHERE transactions.transaction_timestamp >= $window_start
  AND transactions.transaction_timestamp < $window_end
ORDER BY transactions.transaction_timestamp, transactions.transaction_id
