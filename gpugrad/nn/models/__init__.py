"""Networks of the literature: LeNet-1989, LeNet-5, a plain ConvNet, AlexNet, VGG, ResNet and a small Transformer.

Where torchvision has one, its modules have torchvision's names and shapes, so that its states load here. Loaded on
first use of `gpugrad.nn.models`.
"""

from .lenet import LeNet5, LeNet1989, ScaledTanh
from .plain import VGG, AlexNet, ConvNet, alexnet, vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn
from .resnet import BasicBlock, Bottleneck, ResNet, resnet18, resnet34, resnet50
from .transformer import Transformer

__all__ = [
    "VGG", "AlexNet", "BasicBlock", "Bottleneck", "ConvNet", "LeNet5", "LeNet1989", "ResNet", "ScaledTanh",
    "Transformer", "alexnet", "resnet18", "resnet34", "resnet50", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn",
    "vgg16", "vgg16_bn", "vgg19", "vgg19_bn",
]  # fmt: skip
