"""What a page calls the results of a study, in the order of telling."""

# By the names of their folders.
TITLES = {
    "layer-mem": "Layers",
    "ssl-mem": "Several runs",
    "unit-mem": "Units",
    "class-mem": "Units and classes",
    "membership": "Membership inference",
    "analysis": "Layers, images and units compared",
    "probe": "Accuracy",
    "prune": "Pruned units",
    "finetune": "Fine-tuned layers",
    "exchange": "Exchanged layers",
    "tune-unit": "Tuned units",
    "curate": "Curated images",
    "retrain": "Trained without images",
}
