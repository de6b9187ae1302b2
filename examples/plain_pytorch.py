"""AdaLin in any PyTorch model: python examples/plain_pytorch.py [updates].

A network memorises new random labels for the same images, again and again. With ReLU its units die
until it learns nothing more: 0.12 at task 9, AdaLin 1.00. One seed, one step size, no verdict: with
nn.LeakyReLU, the baseline to beat, it is 0.88.
"""

import sys

import torch
from torch import nn

from networks import adalinize

torch.set_num_threads(1)  # the fastest for small networks
updates = int(sys.argv[1]) if len(sys.argv) > 1 else 300
for adaptive in (False, True):
    torch.manual_seed(0)
    images = torch.randn(256, 1, 8, 8)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(576, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
    if adaptive:
        adalinize(model)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for task in range(10):
        labels = torch.randint(10, (256,))
        for _ in range(updates):
            loss = nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        correct = (model(images).argmax(1) == labels).float().mean()
        print(f"{'AdaLin' if adaptive else 'ReLU'}, task {task}: accuracy {correct:.2f}")
