"""Entry points of the LocalStack plug-in; see `berth_localstack-1.0.dist-info/entry_points.txt`."""

from localstack.runtime import hooks
from localstack.services.plugins import Service, aws_provider


@aws_provider(api="elbv2")
def elbv2() -> Service:
    """The service that LocalStack's free edition lacks."""
    from . import provider

    return provider.elbv2()


@aws_provider(api="sts", name="berth")
def sts() -> Service:
    """Chosen by PROVIDER_OVERRIDE_STS=berth."""
    from . import provider

    return provider.sts()


@hooks.on_infra_start()
def prepare() -> None:
    """Runs before the gateway listens: loads the services now instead of at their first call."""
    from localstack.services.plugins import SERVICE_PLUGINS
    from moto.ec2.models import ec2_backends

    from . import control, ec2, gateway, loopback

    loopback.install()
    for name in ("ec2", "elbv2", "sts"):
        SERVICE_PLUGINS.require(name)
    ec2.correct(SERVICE_PLUGINS.get_service("ec2").skeleton.dispatch_table)
    ec2_backends["000000000000"]["us-east-1"]
    gateway.install()
    control.install()
