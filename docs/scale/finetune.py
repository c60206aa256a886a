"""Fine-tune a pre-trained network on several machines: torchrun OPTIONS finetune.py FOLDER."""

import argparse
import copy
import os
import random

import timm
import torch
from torch.utils.data import DataLoader, DistributedSampler, Subset
from torchvision.datasets import ImageFolder

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--model", default="tf_efficientnet_lite0", help="any name that timm knows")
parser.add_argument("--weights", help="a file, where there is no internet")
parser.add_argument("--size", type=int, default=224, help="side of the pictures in pixels")
parser.add_argument("--epochs", type=int, default=6)
parser.add_argument("--batch", type=int, default=10, help="pictures per step, of all processes")
parser.add_argument("--rate", type=float, default=3e-4, help="highest rate, of the body")
parser.add_argument("--flip", type=float, default=0.0, help="share of mirrored training pictures")
parser.add_argument("--out", default="finetuned.pt", help="on a disk that all machines share")
options = parser.parse_args()
torch.manual_seed(0)
device = "cuda" if torch.cuda.is_available() else "cpu"
rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
assert options.batch % world == 0, f"--batch must be a multiple of the {world} processes"
if device == "cuda":
    torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
if world > 1:
    torch.distributed.init_process_group("nccl" if device == "cuda" else "gloo")
local = {"file": options.weights} if options.weights else None
model = timm.create_model(options.model, pretrained=True, pretrained_cfg_overlay=local)

# The data, prepared as in the pre-training: colours, size, mean and deviation.
prepare = timm.data.resolve_model_data_config(model)
prepare["input_size"] = (3, options.size, options.size)
views = {"scale": (0.7, 1.0), "hflip": options.flip, "is_training": True}
train = ImageFolder(f"{options.folder}/train", timm.data.create_transform(**prepare, **views))
val = ImageFolder(f"{options.folder}/val", timm.data.create_transform(**prepare))
assert train.classes == val.classes, "train and val hold different classes"
full = len(train) > options.batch
order = DistributedSampler(train, world, rank, drop_last=full)
batches = DataLoader(train, options.batch // world, sampler=order, drop_last=full)
val_batches = DataLoader(Subset(val, range(rank, len(val), world)), 64)  # each picture once

# A new head with ten times the body's rate. No weight decay on biases and norms.
model.reset_classifier(len(train.classes))
model.to(device)
head = set(model.get_classifier().parameters())
groups = []
for new, factor in ((False, 1), (True, 10)):
    for matrix, decay in ((False, 0.0), (True, 0.01)):
        some = [p for p in model.parameters() if (p in head, p.ndim > 1) == (new, matrix)]
        groups.append({"params": some, "lr": options.rate * factor, "weight_decay": decay})
optimiser = torch.optim.AdamW(groups)
rates, steps = [group["lr"] for group in groups], options.epochs * len(batches)
schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rates, steps)  # up, then down
scaler = torch.amp.GradScaler(device, enabled=device == "cuda")  # 16-bit numbers on a GPU
epoch, best, best_epoch, best_weights = 0, -1.0, 0, {}
run = [vars(options), train.classes, len(train), len(val)]
parts, checkpoint = (model, optimiser, schedule, scaler), f"{options.out}.checkpoint"
if os.path.exists(checkpoint):  # a worker was lost: go on after the last whole epoch
    saved = torch.load(checkpoint, map_location=device, weights_only=True)
    started, states, epoch, best, best_epoch, best_weights = saved
    assert started == run, f"{checkpoint} is of another run: delete it, or name another --out"
    for part, state in zip(parts, states, strict=True):
        part.load_state_dict(state)
net = torch.nn.parallel.DistributedDataParallel(model) if world > 1 else model
while epoch < options.epochs and epoch - best_epoch < 3:  # early stopping
    epoch += 1
    model.eval()  # BatchNorm keeps its stored averages: batches are small
    order.set_epoch(epoch)
    torch.manual_seed(epoch * world + rank)
    random.seed(epoch * world + rank)  # timm's views
    losses = []
    for x, y in batches:
        with torch.autocast(device, enabled=device == "cuda"):
            loss = torch.nn.functional.cross_entropy(net(x.to(device)), y.to(device))
        optimiser.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimiser)
        scaler.update()
        schedule.step()
        losses.append(loss.item())
    with torch.inference_mode():
        right = [(model(x.to(device)).argmax(1).cpu() == y).sum().item() for x, y in val_batches]
    sums = torch.tensor([sum(right), sum(losses), len(losses)], device=device)
    if world > 1:
        torch.distributed.all_reduce(sums)
    accuracy, loss = sums[0].item() / len(val), (sums[1] / sums[2]).item()
    if accuracy > best:
        best, best_epoch = accuracy, epoch
        best_weights = copy.deepcopy(model.state_dict())
    if rank == 0:
        states = [part.state_dict() for part in parts]
        torch.save([run, states, epoch, best, best_epoch, best_weights], f"{checkpoint}.part")
        os.replace(f"{checkpoint}.part", checkpoint)  # whole, or not at all
        print(f"epoch {epoch}: loss {loss:.2f}, validation accuracy {accuracy:.3f}", flush=True)
if rank == 0:
    torch.save({"classes": train.classes, "weights": best_weights}, options.out)
    print(f"best: epoch {best_epoch}, validation accuracy {best:.3f}, saved as {options.out}")
