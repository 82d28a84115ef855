"""An Optuna study in two processes at once."""

import os
import sys

import optuna

STUDY = {"study_name": "study", "storage": os.environ["STORAGE"]}


def work(trial: optuna.Trial) -> float:
    return (trial.suggest_float("x", -10, 10) - 2) ** 2


if __name__ == "__main__":
    study = optuna.create_study(**STUDY, load_if_exists=True)
    study.optimize(work, n_trials=int(sys.argv[1]))
    print(len(study.trials))
