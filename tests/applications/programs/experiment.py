"""An MLflow client that logs a run and reads it back through the server."""

import mlflow

mlflow.set_experiment("sums")
with mlflow.start_run() as run:
    mlflow.log_params({"left": 1, "right": 2})
    for step in range(20):
        mlflow.log_metric("sum", step, step=step)
found = mlflow.search_runs(experiment_names=["sums"], output_format="list")
print(len(found), found[0].data.metrics["sum"])
