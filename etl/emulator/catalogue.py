"""What the emulated region has to offer: flavors, profiles, pools, volumes, failures and names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]

GROUPS = ("npu", "gpu", "cpu", "free")


@dataclass(frozen=True, eq=False)
class Flavor:
    """A flavor, and its flavor_details (Table 9) apart from what is for sale at the moment."""

    name: str
    group: str
    details: Json

    @property
    def is_free(self) -> bool:
        """Whether it costs nothing, and may have to be queued for."""
        return self.group == "free"


@dataclass(frozen=True, eq=False)
class Failure:
    """Why a creation, a start or a resize failed (Table 15)."""

    code: str
    message: str
    detail: Mapping[str, str] | None


def _flavor(name: str, group: str, kind: str, params: Json, details: Json) -> Flavor:
    fixed = {"name": name, "params": params, "status": "onSale", "type": kind}
    return Flavor(name, group, {**fixed, "storage_list": ["obs", "efs"], **details})


def _cards(kind: str, count: int, name: str) -> Json:
    return {
        "CPU": 24 * count,
        kind: count,
        "graphics_memory": f"{32 * count}GiB",
        "memory": f"{96 * count}GiB",
        "type": name,
    }


def _cores(count: int) -> Json:
    return {"CPU": count, "memory": f"{4 * count}GiB"}


def _billed_as(flavor: str, ratio: int) -> Json:
    return {**PAID, "billing_flavor": flavor, "billing_params": ratio, "instance_num": 3}


PAID: Json = {"promo_type": "NoDiscount", "store_time": -1, "is_permitted": True}
FREE: Json = {"promo_type": "Free", "store_time": 72, "is_permitted": True, "duration": 3600}
WITH_EVS: Json = {**PAID, "storage_list": ["obs", "evs"]}
SOLD_OUT: Json = {"status": "soldOut", "is_permitted": False}
# params_extends is in real answers, and not in the reference.
EXTENDED: Json = {"params_extends": {"arch": "X86", "cpu": {"num": 2, "memory_unit": "GiB"}}}

FLAVORS = (
    _flavor("modelarts.kat1.xlarge", "npu", "Ascend", _cards("NPU", 1, "Ascend 910"), {}),
    _flavor(
        *("modelarts.bm.snt9.xlarge.2", "npu", "ASCEND", _cards("NPU", 2, "Ascend 910")),
        _billed_as("modelarts.kat1.xlarge", 2),
    ),
    _flavor(
        *("modelarts.bm.snt9.xlarge.8", "npu", "ASCEND", _cards("NPU", 8, "Ascend 910")),
        {**_billed_as("modelarts.kat1.8xlarge", 1), **SOLD_OUT},
    ),
    _flavor("modelarts.vm.gpu.v100", "gpu", "GPU", _cards("GPU", 1, "V100NV32"), WITH_EVS),
    _flavor("modelarts.vm.gpu.4v100", "gpu", "GPU", _cards("GPU", 4, "V100NV32"), WITH_EVS),
    _flavor("modelarts.vm.cpu.2u", "cpu", "CPU", _cores(2), {**WITH_EVS, **EXTENDED}),
    _flavor("modelarts.vm.cpu.8u", "cpu", "CPU", {**_cores(8), "CPU": "8"}, {"billing_flavor": ""}),
    _flavor("modelarts.vm.cpu.free", "free", "CPU", _cores(2), FREE),
    _flavor("modelarts.vm.gpu.free", "free", "GPU", _cards("GPU", 1, "P4"), FREE),
)
FLAVORS_OF = {group: [one for one in FLAVORS if one.group == group] for group in GROUPS}


def _profile(number: int, name: str, description: str, image: str, more: Json) -> Json:
    docker = {"annotations": None, "image_name": image, "image_tag": "3.1.0-c76-2-test"}
    provision = {
        "annotations": {"category": name, "type": "system"},
        "spec": {"engine": "CCE", "params": {**docker, "namespace": "atelier"}},
        "type": "Docker",
    }
    identity = {"id": f"efa847c{number}-7359-11eb-b34f-0255ac100057", "name": name}
    described = {"de_type": "Notebook", "description": description, "provision": provision}
    return {**identity, **described, **more}


ASCEND_PROFILE = _profile(
    *(0, "Ascend-Powered-Engine 1.0 (python3)", "Python 3.7/3.6 for notebook"),
    *("mul-kernel-d910-arm-cp37", {"flavor_type": "Ascend"}),
)
OWN_PROFILE = _profile(3, "自定义镜像", "", "own/training", {"labels": {"kept-by": "team-3"}})
OWN_PROFILE["provision"]["spec"]["params"]["annotations"] = {"built-from": "main"}
PROFILES_OF = {
    "npu": (ASCEND_PROFILE, ASCEND_PROFILE, OWN_PROFILE),
    "gpu": (
        _profile(1, "Multi-Engine 1.0 (python3)", "TensorFlow, PyTorch", "mul-kernel-gpu-cp36", {}),
        OWN_PROFILE,
    ),
    "cpu": (_profile(2, "XGBoost-Sklearn (python3)", "", "mul-kernel-cpu-cp36", {"labels": {}}),),
}
PROFILES_OF["free"] = PROFILES_OF["cpu"]

POOLS: tuple[Json, ...] = (
    {
        "id": "pool7908321a",
        "name": "pool-vision",
        "type": "USER_DEFINED",
        "owner": {"project_id": "5f0a1c2b3d4e4f60a1b2c3d4e5f60718"},
    },
    {
        "id": "pool1c44e0b2",
        "name": "语音专属池",
        "type": "USER_DEFINED",
        "owner": {"project_id": "0c9d8e7f6a5b4c3d2e1f0a9b8c7d6e5f"},
    },
    {"id": "pool-shared-1", "name": "shared", "type": "SYSTEM_DEFINED"},
)

FAILURES = (
    Failure("ModelArts.6360", "The resources are insufficient.", {"pool": "public", "node": "0/7"}),
    Failure("ModelArts.6361", 'Internal error: image "own/training" could not be pulled.', None),
    Failure("ModelArts.6333", "存储卷挂载失败", {"volume": "/home/ma-user/work"}),
)

USER_NAMES = ("ann", "bo", "chandra", "du.wei", "eva-maria", "farid", "王芳", "o'brien", "zoë")
PLAIN_WORDS = ("notebook", "train", "eval", "resnet50", "bert-base", "demo", "data-prep", "tmp")
CHINESE_NAMES = ("语音识别实验", "笔记本-测试", "图像分类 v2", "王芳的环境")
HOSTILE_NAMES = (
    "<script>alert(1)</script>",
    '=HYPERLINK("http://127.0.0.1/","x")',
    "Robert'); drop table instances;--",
    'she said "run"',
    "two\nlines\tand a tab",
    "🚀 rocket 👩‍🔬",
    "50% off & more \\ back",
    "@sum(1+1)|cmd",
    "-" * 120,
)
DESCRIPTIONS = ("", "", "", None, "for the paper", "请勿删除", 'a, b; "c"\nd')
REMARKS: tuple[Mapping[str, str] | None, ...] = (
    *(None, None, None, None, {}),
    {"cost_center": "cc-104", "purpose": "training"},
    {"keep": "true"},
)
