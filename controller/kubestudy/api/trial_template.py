"""What each trial of a Study runs."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StrictInt, StrictStr

from kubestudy.api.base import ApiModel, Rule
from kubestudy.api.durations import Duration, parse_duration
from kubestudy.api.meta import AnyObject
from kubestudy.api.pod_template import POD_TEMPLATE
from kubestudy.api.schema import ATOMIC, list_map


class EnvVar(ApiModel):
    """An environment variable of the trial's container."""

    name: str = Field(min_length=1, max_length=253, description="Name of the variable.")
    value: StrictStr | None = Field(default=None, max_length=32768, description="Its value.")
    value_from: AnyObject | None = Field(
        default=None, description="Where its value comes from, as in a Pod."
    )

    rules: ClassVar = (
        Rule(
            "!(has(self.value) && has(self.valueFrom))",
            lambda s: s.value is None or s.value_from is None,
            "value",
            "cannot be combined with valueFrom; leave one of them out",
        ),
        Rule(
            "!self.name.startsWith('KUBESTUDY_')",
            lambda s: not s.name.startswith("KUBESTUDY_"),
            "name",
            "names that begin with KUBESTUDY_ are set by the controller; choose another name",
        ),
    )


class VolumeFolder(ApiModel):
    """A folder on a persistent volume claim, shared by the trials of a Study."""

    claim_name: str = Field(
        min_length=1, max_length=253, description="Name of the PersistentVolumeClaim."
    )


class TrialTemplate(ApiModel):
    """What runs a trial: the short form, a whole pod template, or a manifest."""

    image: StrictStr | None = Field(
        default=None,
        min_length=1,
        max_length=1024,
        description="The container image; kubestudy's own trial image where none is given.",
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = Field(
        default=None, description="As in a container."
    )
    command: list[Annotated[StrictStr, Field(max_length=32768)]] | None = Field(
        default=None,
        max_length=128,
        description="The command; the image's own where none is given.",
        json_schema_extra=ATOMIC,
    )
    args: list[Annotated[StrictStr, Field(max_length=32768)]] | None = Field(
        default=None,
        max_length=256,
        description="Arguments; the parameters follow as --name=value, unless a"
        " ${parameters.name} placeholder is used anywhere in command, args or env. $${...} is the"
        " text ${...}.",
        json_schema_extra=ATOMIC,
    )
    env: list[EnvVar] | None = Field(
        default=None,
        max_length=128,
        description="Environment variables.",
        json_schema_extra=list_map("name"),
    )
    gpus: StrictInt = Field(default=0, ge=0, le=1024, description="GPUs of each run.")
    gpu_resource: str = Field(
        default="nvidia.com/gpu",
        min_length=1,
        max_length=253,
        pattern=r"^[a-z0-9.\-]+/[A-Za-z0-9._\-]+$",
        description="The extended resource that stands for a GPU, such as amd.com/gpu.",
    )
    resources: AnyObject | None = Field(
        default=None, description="Requests and limits, as in a container."
    )
    checkpoints: VolumeFolder | None = Field(
        default=None, description="Where checkpoints live, so that a run can go on from them."
    )
    outputs: VolumeFolder | None = Field(
        default=None, description="Where trained models are written."
    )
    timeout: Duration | None = Field(
        default=None,
        description="Longest time of one run, such as 2h; a longer one fails. It counts from when a"
        " node has taken the pod: pulling the image is part of it, the wait for GPUs or in a queue"
        " is not. It outweighs activeDeadlineSeconds of a template.",
    )
    max_retries: StrictInt = Field(
        default=2,
        ge=0,
        le=100,
        description="How often an interrupted run is run again; what the cluster takes away is not"
        " counted.",
    )
    template: dict[str, Any] | None = Field(
        default=None,
        json_schema_extra=POD_TEMPLATE,
        description="A PodTemplateSpec, for all that the short form cannot say;"
        " ${parameters.name} stands for a parameter's value.",
    )
    manifest: AnyObject | None = Field(
        default=None, description="An object of another kind that runs the trial."
    )

    rules: ClassVar = (
        Rule(
            "!has(self.timeout) || self.timeout.matches('[1-9]')",
            lambda s: s.timeout is None or parse_duration(s.timeout) > timedelta(),
            "timeout",
            "must be at least 1s; leave it out for no limit",
        ),
        Rule(
            "!(has(self.template) && has(self.manifest))",
            lambda s: s.template is None or s.manifest is None,
            "template",
            "cannot be combined with manifest; leave one of them out",
        ),
        Rule(
            "!(has(self.template) || has(self.manifest)) || !(has(self.image) ||"
            " has(self.imagePullPolicy) || has(self.command) || has(self.args) || has(self.env)"
            " || has(self.resources))",
            lambda s: (
                (s.template is None and s.manifest is None)
                or all(
                    v is None
                    for v in (
                        s.image,
                        s.image_pull_policy,
                        s.command,
                        s.args,
                        s.env,
                        s.resources,
                    )
                )
            ),
            "",
            "template or manifest replaces the short form: move image, command, args, env and"
            " resources into it",
        ),
    )
