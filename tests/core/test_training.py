"""Schedules against PyTorch's, clipping, and the Trainer: what it measures, keeps and resumes."""

import math
import os

import numpy as np
import pytest

import tinytorch as tt
from tinytorch import nn, optim
from tinytorch.core.training import Callback, EarlyStopping, Trainer, accuracy, clip_grad_norm_
from tinytorch.optim import lr_scheduler
from tinytorch.utils.data import DataLoader, TensorDataset


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is the oracle of this test and is not installed")


SCHEDULES = {
    "StepLR": lambda m, o: m.StepLR(o, 7, 0.5),
    "MultiStepLR": lambda m, o: m.MultiStepLR(o, [30, 5, 5, 12], 0.3),
    "ExponentialLR": lambda m, o: m.ExponentialLR(o, 0.9),
    "ConstantLR": lambda m, o: m.ConstantLR(o, 0.25, 9),
    "LinearLR": lambda m, o: m.LinearLR(o, 0.1, 0.8, 20),
    "LinearLR defaults": lambda m, o: m.LinearLR(o),
    "LambdaLR": lambda m, o: m.LambdaLR(o, lambda step: 1 / (1 + step)),
    "LambdaLR by group": lambda m, o: m.LambdaLR(o, [lambda step: 0.9**step, lambda step: step]),
    "CosineAnnealingLR": lambda m, o: m.CosineAnnealingLR(o, 50),
    "CosineAnnealingLR beyond T_max": lambda m, o: m.CosineAnnealingLR(o, 13, 0.02),
    "OneCycleLR": lambda m, o: m.OneCycleLR(o, 0.7, total_steps=51),
    "OneCycleLR by group": lambda m, o: m.OneCycleLR(
        o, [0.7, 0.1], epochs=17, steps_per_epoch=3, pct_start=0.1
    ),
    "OneCycleLR in three phases": lambda m, o: m.OneCycleLR(
        o, 0.7, total_steps=51, three_phase=True, anneal_strategy="linear", div_factor=10, final_div_factor=5
    ),
    "warm-up, then cosine": lambda m, o: m.SequentialLR(
        o, [m.LinearLR(o, 0.01, 1.0, 10), m.CosineAnnealingLR(o, 40)], [10]
    ),
    "three in a row": lambda m, o: m.SequentialLR(
        o, [m.ConstantLR(o, 0.5, 3), m.ExponentialLR(o, 0.8), m.StepLR(o, 4)], [5, 20]
    ),
}
every_schedule = pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES.keys())


def two_groups(module, parameter):
    groups = [{"params": [parameter()], "lr": 0.5}, {"params": [parameter()], "lr": 0.03}]
    return module.SGD(groups, lr=0.1, momentum=0.9)


def ours():
    return two_groups(optim, lambda: nn.Parameter(tt.zeros(1)))


def settings(optimizer):
    return [(group["lr"], group["momentum"]) for group in optimizer.param_groups]


@every_schedule
@pytest.mark.filterwarnings("ignore::UserWarning:torch")
def test_fifty_rates_equal_pytorch(torch, make):
    a, b = ours(), two_groups(torch.optim, lambda: torch.zeros(1, requires_grad=True))
    mine, reference = make(lr_scheduler, a), make(torch.optim.lr_scheduler, b)
    for step in range(50):
        np.testing.assert_allclose(settings(a), settings(b), rtol=1e-9, atol=1e-15, err_msg=f"step {step}")
        np.testing.assert_allclose(mine.get_last_lr(), reference.get_last_lr(), rtol=1e-9, atol=1e-15)
        b.step()
        mine.step()
        reference.step()


@every_schedule
def test_a_saved_schedule_goes_on_where_it_was(make, tmp_path):
    whole, first, second = ours(), ours(), ours()
    through, half, resumed = (make(lr_scheduler, optimizer) for optimizer in (whole, first, second))
    for _ in range(17):
        through.step()
        half.step()
    tt.save({"optimizer": first.state_dict(), "schedule": half.state_dict()}, tmp_path / "x")
    saved = tt.load(tmp_path / "x")
    second.load_state_dict(saved["optimizer"])
    resumed.load_state_dict(saved["schedule"])
    for _ in range(30):
        assert settings(second) == settings(whole)
        through.step()
        resumed.step()


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_plateaus_are_found_where_pytorch_finds_them(torch, mode, threshold_mode):
    options = {
        "mode": mode,
        "threshold_mode": threshold_mode,
        "patience": 2,
        "cooldown": 1,
        "threshold": 0.05,
    }
    a, b = ours(), two_groups(torch.optim, lambda: torch.zeros(1, requires_grad=True))
    mine = lr_scheduler.ReduceLROnPlateau(a, **options, min_lr=[0.001, 0.02])
    reference = torch.optim.lr_scheduler.ReduceLROnPlateau(b, **options, min_lr=[0.001, 0.02])
    for metric in np.random.default_rng(0).standard_normal(50).cumsum():
        mine.step(metric)
        reference.step(metric)
        assert mine.get_last_lr() == reference.get_last_lr()


def test_your_own_schedule_takes_one_method():
    class Halving(lr_scheduler.LRScheduler):
        def get_lr(self):
            return [lr / 2**self.last_epoch for lr in self.base_lrs]

    schedule = Halving(ours())
    schedule.step()
    assert schedule.get_last_lr() == [0.25, 0.015]


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: lr_scheduler.StepLR("sgd", 3), TypeError, "an Optimizer is needed; str came"),
        (lambda o: lr_scheduler.LinearLR(o, 0.0), ValueError, "factors lie in"),
        (lambda o: lr_scheduler.ConstantLR(o, 2.0), ValueError, "factor lies in"),
        (lambda o: lr_scheduler.LambdaLR(o, [abs]), ValueError, "1 functions came for 2 parameter groups"),
        (
            lambda o: lr_scheduler.OneCycleLR(o, 0.1),
            ValueError,
            "give total_steps, or epochs and steps_per_epoch",
        ),
        (lambda o: lr_scheduler.OneCycleLR(o, 0.1, 9, anneal_strategy="x"), ValueError, "'cos' or 'linear'"),
        (
            lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(o, 3)], [3]),
            ValueError,
            "one milestone between",
        ),
        (
            lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(ours(), 3)], []),
            ValueError,
            "belong to the same optimizer",
        ),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1.0), ValueError, "factor is below 1"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o, mode="least"), ValueError, "mode 'least'"),
        (lambda o: lr_scheduler.ReduceLROnPlateau(o).step(), TypeError, r"as in step\(val_loss\)"),
    ],
)
def test_schedules_that_make_no_sense_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(ours())


def test_one_step_too_many_of_one_cycle_is_an_error():
    schedule = lr_scheduler.OneCycleLR(ours(), 0.1, total_steps=3)
    for _ in range(3):
        schedule.step()
    with pytest.raises(ValueError, match="step 4 came; there are 3 steps"):
        schedule.step()


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("max_norm", [0.5, 1e4])
def test_clipping_equals_pytorch(torch, norm_type, max_norm):
    rng = np.random.default_rng(0)
    gradients = [rng.standard_normal(shape).astype("float32") for shape in [(3, 4), (), (5,)]]
    mine, theirs = [nn.Parameter(tt.zeros(2))], [torch.zeros(2, requires_grad=True)]  # these have no gradient
    for g in gradients:
        mine.append(nn.Parameter(tt.zeros(*g.shape)))
        theirs.append(torch.zeros(g.shape, requires_grad=True))
        mine[-1].grad, theirs[-1].grad = tt.tensor(g), torch.tensor(g)
    norm = clip_grad_norm_(mine, max_norm, norm_type)
    assert norm.item() == pytest.approx(
        torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type).item(), 1e-5
    )
    for p, q in zip(mine[1:], theirs[1:], strict=True):
        np.testing.assert_allclose(p.grad.numpy(), q.grad.numpy(), rtol=1e-5, atol=1e-7)


def test_the_norm_has_the_dtype_of_the_gradients():
    for dtype in (tt.float32, tt.float64):
        p = tt.zeros(2, dtype=dtype, requires_grad=True)
        (p * 3).sum().backward()
        assert clip_grad_norm_([p], 1.0).dtype == dtype
    assert clip_grad_norm_([], 1.0).item() == 0


def test_clipping_can_refuse_a_norm_of_nan():
    p = nn.Parameter(tt.zeros(2))
    p.grad = tt.tensor([math.nan, 1.0])
    with pytest.raises(RuntimeError, match="the norm of the gradients is nan"):
        clip_grad_norm_([p], 1.0, error_if_nonfinite=True)


def samples(count=96, seed=0):
    """Three classes, told apart by which of the first three of ten features is largest."""
    x = np.random.default_rng(seed).standard_normal((count, 10)).astype("float32")
    return TensorDataset(tt.tensor(x), tt.tensor(x[:, :3].argmax(1)))


def trainer(path=None, seed=0, **options):
    tt.manual_seed(seed)
    model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 3))
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    return Trainer(
        model, optimizer, checkpoint=path, progress=False, metrics={"accuracy": accuracy}, **options
    )


def loaders(**options):
    return DataLoader(samples(), batch_size=20, shuffle=True, **options), DataLoader(
        samples(50, 1), batch_size=20
    )


def weights(run):
    return {name: value.numpy().copy() for name, value in run.model.state_dict().items()}


def assert_same_run(a, b):
    for name, value in weights(a).items():
        assert np.array_equal(value, weights(b)[name]), name
    times = {"seconds"}
    assert {k: v for k, v in a.history.items() if k not in times} == {
        k: v for k, v in b.history.items() if k not in times
    }
    assert (a.epoch, a.updates) == (b.epoch, b.updates)


def test_a_run_learns_and_its_history_has_a_number_for_each_epoch():
    run = trainer()
    history = run.fit(*loaders(), epochs=8)
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds"}
    assert all(len(values) == 8 for values in history.values())
    assert history["val_accuracy"][-1] > 0.8
    assert (run.epoch, run.updates) == (8, 8 * 5)


@pytest.mark.parametrize("own_generator", [False, True])
def test_two_epochs_and_two_more_after_a_restart_equal_four_bit_for_bit(tmp_path, own_generator):
    def start(path, **options):
        run = trainer(path, callbacks=[EarlyStopping(patience=9)], clip_norm=1.0, schedule="batch", **options)
        run.scheduler = lr_scheduler.OneCycleLR(run.optimizer, 0.05, epochs=4, steps_per_epoch=5)
        generator = tt.Generator().manual_seed(5) if own_generator else None
        return run, loaders(generator=generator)

    whole, data = start(tmp_path / "whole")
    whole.fit(*data, epochs=4)
    half, data = start(tmp_path / "half")
    half.fit(*data, epochs=2)
    resumed, data = start(tmp_path / "half", seed=99)
    resumed.fit(*data, epochs=4, resume=True)
    assert_same_run(resumed, whole)
    assert resumed.callbacks[0].best == whole.callbacks[0].best


@pytest.mark.parametrize("rule", ["SGD", "AdamW", "RMSprop", "Adagrad"])
def test_every_optimizer_resumes_bit_for_bit(tmp_path, rule):
    def start():
        run = trainer(tmp_path / "x")
        options = {"momentum": 0.9} if rule == "SGD" else {}
        run.optimizer = getattr(optim, rule)(run.model.parameters(), lr=0.01, **options)
        return run

    whole = start()
    whole.fit(*loaders(), epochs=2)
    start().fit(*loaders(), epochs=1)
    resumed = start()
    resumed.fit(*loaders(), epochs=2, resume=True)
    assert_same_run(resumed, whole)


def test_calling_fit_again_trains_further():
    whole, parts = trainer(), trainer()
    whole.fit(*loaders(), epochs=2)
    tt.manual_seed(0)
    parts = trainer()
    train, val = loaders()
    parts.fit(train, val, epochs=1)
    parts.fit(train, val, epochs=1)
    assert_same_run(parts, whole)


def test_accumulated_batches_give_the_gradient_of_the_large_one():
    def run(batch_size, accumulate):
        tt.manual_seed(0)
        model = nn.Linear(10, 3)
        optimizer = optim.SGD(model.parameters(), lr=0.5)
        result = Trainer(model, optimizer, accumulate=accumulate, progress=False)
        result.fit(DataLoader(samples(), batch_size=batch_size), epochs=2)
        return result

    large, small = run(40, 1), run(10, 4)  # the last group of 96 samples is 16: batches of 10 and 6
    assert large.updates == small.updates == 6
    np.testing.assert_allclose(small.model.weight.tolist(), large.model.weight.tolist(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(small.history["loss"], large.history["loss"], rtol=1e-5)


def test_evaluate_averages_over_samples_without_dropout_and_leaves_the_mode_alone():
    run = trainer()
    run.model.train()
    (x, y) = samples(50, 1).tensors
    result = run.evaluate(DataLoader(samples(50, 1), batch_size=7))
    assert run.model.training
    assert run.model[2].training
    run.model.eval()
    with tt.no_grad():
        logits = run.model(x)
        assert result["loss"] == pytest.approx(nn.functional.cross_entropy(logits, y).item(), rel=1e-5)
        assert result["accuracy"] == pytest.approx((logits.argmax(1) == y).float().mean().item())
    assert all(p.grad is None for p in run.model.parameters())


def test_early_stopping_ends_the_run_with_the_best_weights():
    class Script(Callback):
        """Let the validation loss be what the test says, and the weights tell the epoch."""

        def on_epoch_end(self, trainer, logs):
            logs["val_loss"] = [3.0, 1.0, 2.0, 0.95, 2.0, 2.0, 2.0][trainer.epoch - 1]
            with tt.no_grad():
                trainer.model[0].bias.fill_(float(trainer.epoch))

    stopping = EarlyStopping(patience=3, min_delta=0.1)
    run = trainer(callbacks=[Script(), stopping])
    run.fit(*loaders(), epochs=7)
    assert run.epoch == 5  # 0.95 is no improvement on 1.0 by more than 0.1
    assert run.stopped == "val_loss has not improved on 1 for 3 epochs"
    assert stopping.best == 1.0
    assert run.model[0].bias.tolist() == [2.0] * 32


def test_early_stopping_on_accuracy_and_on_a_name_that_is_not_there():
    stopping = EarlyStopping("accuracy", patience=1, mode="max", restore_best=False)
    run = trainer()
    for value in (0.5, 0.6, 0.6):
        stopping.on_epoch_end(run, {"accuracy": value})
    assert run.stopped
    with pytest.raises(KeyError, match="there is no 'val_loss' among loss, accuracy"):
        trainer(callbacks=[EarlyStopping()]).fit(loaders()[0])
    with pytest.raises(ValueError, match="mode is 'min' or 'max'"):
        EarlyStopping(mode="auto")


def test_callbacks_are_called_in_their_order():
    calls = []

    class Recorder(Callback):
        def on_fit_start(self, trainer):
            calls.append("start")

        def on_batch_end(self, trainer, loss):
            calls.append(trainer.updates)

        def on_epoch_end(self, trainer, logs):
            calls.append("epoch")
            trainer.stop("seen enough")

        def on_fit_end(self, trainer):
            calls.append("end")

    run = trainer(callbacks=[Recorder()])
    run.fit(loaders()[0], epochs=3)
    assert calls == ["start", 1, 2, 3, 4, 5, "epoch", "end"]
    assert run.stopped == "seen enough"


@pytest.mark.parametrize(("schedule", "steps"), [("epoch", 3), ("batch", 15)])
def test_the_schedule_is_stepped_per_epoch_or_per_batch(schedule, steps):
    run = trainer(schedule=schedule)
    run.scheduler = lr_scheduler.StepLR(run.optimizer, 1, 0.9)
    run.fit(loaders()[0], epochs=3)
    assert run.scheduler.last_epoch == steps


def test_a_plateau_schedule_gets_the_validation_loss():
    run = trainer()
    run.scheduler = lr_scheduler.ReduceLROnPlateau(run.optimizer)
    history = run.fit(*loaders(), epochs=2)
    assert run.scheduler.best == min(history["val_loss"])


def test_ctrl_c_keeps_the_checkpoint_of_the_last_whole_epoch(tmp_path, capsys):
    class Impatience(Callback):
        def on_batch_end(self, trainer, loss):
            if trainer.updates == 13:  # in the third epoch
                raise KeyboardInterrupt

    run = trainer(tmp_path / "x", callbacks=[Impatience()])
    run.progress = True
    with pytest.raises(KeyboardInterrupt):
        run.fit(*loaders(), epochs=4)
    assert "interrupted in epoch 3; epoch 2 is in" in capsys.readouterr().out
    assert os.listdir(tmp_path) == ["x"]
    resumed = trainer(tmp_path / "x", callbacks=[Callback()])
    resumed.fit(*loaders(), epochs=4, resume=True)
    whole = trainer()
    whole.fit(*loaders(), epochs=4)
    assert_same_run(resumed, whole)


def test_a_loss_of_nan_says_where_and_changes_no_parameter():
    x, y = samples().tensors
    x[45] = math.nan  # in the third batch
    run = trainer(callbacks=[])
    states = []

    class Keep(Callback):
        def on_batch_end(self, trainer, loss):
            states.append(weights(trainer))

    run.callbacks.append(Keep())
    with pytest.raises(FloatingPointError, match="loss is nan in epoch 1, update 3"):
        run.fit(DataLoader(TensorDataset(x, y), batch_size=20))
    assert all(np.array_equal(value, states[-1][name]) for name, value in weights(run).items())


def test_progress_is_a_line_for_each_epoch_or_silence(capsys):
    run = trainer()
    run.fit(*loaders(), epochs=1)
    assert capsys.readouterr().out == ""
    run.progress = True
    run.fit(*loaders(), epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 2/3", "epoch 3/3"]
    assert all(" val_accuracy 0." in line for line in lines)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"schedule": "minute"}, "schedule is 'epoch' or 'batch'"),
        ({"accumulate": 0}, "accumulate is at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        trainer(**options)


def test_loaders_that_give_nothing_or_no_pairs_are_errors():
    run = trainer()
    with pytest.raises(ValueError, match="the loader gave no batch"):
        run.fit([])
    with pytest.raises(ValueError, match="evaluate: the loader gave no batch"):
        run.evaluate([])
    with pytest.raises(TypeError, match=r"a pair \(inputs, targets\); the loader gave Tensor"):
        run.fit([tt.ones(2, 10)])
    with pytest.raises(TypeError, match="the loader gave 3 members"):
        run.evaluate([(1, 2, 3)])


def test_resuming_from_what_is_not_there_or_not_a_checkpoint_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        trainer(tmp_path / "x").fit(loaders()[0], resume=True)
    with pytest.raises(FileNotFoundError, match="the Trainer was given no path"):
        trainer().fit(loaders()[0], resume=True)
    run = trainer(tmp_path / "x")
    tt.save(run.model.state_dict(), tmp_path / "x")
    with pytest.raises(ValueError, match="holds no training state"):
        run.fit(loaders()[0], resume=True)


def test_resuming_with_other_parts_is_an_error_and_changes_nothing(tmp_path):
    trainer(tmp_path / "x").fit(loaders()[0])
    run = trainer(tmp_path / "x", callbacks=[EarlyStopping()])
    before = weights(run)
    with pytest.raises(ValueError, match="0 parts under 'callbacks', and this run has 1"):
        run.fit(*loaders(), resume=True)
    run.callbacks.clear()
    with pytest.raises(ValueError, match="1 parts under 'random', and this run has 2"):
        run.fit(*loaders(generator=tt.Generator()), resume=True)
    assert all(np.array_equal(value, before[name]) for name, value in weights(run).items())


def test_a_plain_list_of_batches_is_a_loader():
    x, y = samples().tensors
    run = trainer()
    run.fit([(x[i : i + 32], y[i : i + 32]) for i in range(0, 96, 32)], epochs=2)
    assert run.updates == 6
