"""`python -m lightning_brats`: the commands, along the way from images to a verdict."""

COMMANDS = {
    "python -m lightning_brats.data.phantom": "write the digital phantom in any BraTS layout",
    "python -m lightning_brats.models": "parameters, GFLOPs and memory of every model",
    "python experiments/prepare.py": "check, audit and prepare a data set ahead",
    "python -m lightning_brats.data.raw.landmarks": "landmarks of histogram matching, to a file",
    "python experiments/augmentation_gallery.py": "see what each augmentation does to a case",
    "python experiments/run.py": "train, test, score and report one experiment",
    "python experiments/baseline.py": "fit, test, score and report one classical method",
    "python experiments/synthesize.py": "new cases from masks, with a trained model=mask2mri",
    "python experiments/predict.py": "segment new cases with a trained network",
    "python experiments/explain.py": "show why a network found what it found in a case",
    "python experiments/followup.py": "volumes, growth and changes over a patient's time points",
    "python experiments/export.py": "a trained network as ONNX or torch.export, checked",
    "python experiments/evaluate.py": "score anybody's masks against references",
    "python sweeps/run.py": "many runs as one study: grids to compare, spaces to search",
    "python sweeps/status.py": "how far a study is",
    "python experiments/compare.py": "say with statistics which choice is better",
    "python experiments/app.py": "see and use a model in the browser",
    "python experiments/dashboard.py": "a W&B workspace and report of these runs",
}

if __name__ == "__main__":
    width = max(map(len, COMMANDS))
    for command, purpose in COMMANDS.items():
        print(f"{command:<{width}}  {purpose}")
