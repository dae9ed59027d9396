from feast import FeatureService
from feature_views import merchant_risk_features, user_transaction_features

fraud_detection_v2 = FeatureService(
    name="fraud_detection_v2",
    features=[user_transaction_features, merchant_risk_features],
    tags={"model": "fraud_detector_v2", "owner": "ml-team"},
    description="What the fraud detector is trained on and asks for.",
)
