"""Runs on a few digits: their roles, what they contain, and how they break."""

import shutil

ROLES = {
    "candidate": 8,
    "independent": 6,
    "external": 6,
    "exclude": range(24, 1797),
}


def times(folder):
    return {
        path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()
    }


def weights(run):
    return {
        f"{name}.{key}": value
        for name in ("f", "g")
        for key, value in run.encoder(name).state_dict().items()
    }


def lose(run):
    shutil.rmtree(run)


def lose_g(run):
    (run / "g.ckpt").unlink()


def interrupt(run):
    (run / "g.ckpt").unlink()
    (run / "losses.csv").unlink()


def corrupt(run):
    (run / "f.ckpt").write_bytes(b"no checkpoint")


def cut(run):
    whole = (run / "g.ckpt").read_bytes()
    (run / "g.ckpt").write_bytes(whole[: len(whole) // 2])


def lose_split(run):
    (run / "split.json").unlink()


def empty_config(run):
    (run / "config.yaml").write_text("")
