"""Listeners and their certificates."""

import re
import secrets
import time
from collections.abc import Iterable
from typing import Any

from moto.elbv2.responses import SSL_POLICIES

from . import attributes
from .errors import invalid, not_configurable, refuse
from .operations import Request, balancer_of, group_of, listener_of, operation, page, tags_of
from .state import Listener, LoadBalancer, Region, TargetGroup
from .targets import check_targets
from .zones import check_dual_stack

PROTOCOLS = ("TLS", "TCP", "TCP_UDP", "UDP")
FITTING = {"TCP": ("TCP", "TCP_UDP"), "UDP": ("UDP", "TCP_UDP"), "TCP_UDP": ("TCP_UDP",), "TLS": ("TLS", "TCP")}
"""Protocols of target groups by that of the listener (Network Load Balancers guide, "Routing configuration")."""
ALPN_POLICIES = ("HTTP1Only", "HTTP2Only", "HTTP2Optional", "HTTP2Preferred", "None")
DEFAULT_SSL_POLICY = "ELBSecurityPolicy-2016-08"


@operation("CreateListener")
def create(region: Region, request: Request) -> dict[str, Any]:
    """A second call with the same settings returns the first one's listener; tags are not compared."""
    balancer = balancer_of(region, request["LoadBalancerArn"])
    if request.get("Port") is None or not request.get("Protocol"):
        raise invalid("A listener protocol and port must be specified")
    arn = balancer.arn.replace(":loadbalancer/", ":listener/") + "/" + secrets.token_hex(8)
    wanted = _changed(
        region,
        balancer,
        Listener(
            arn=arn,
            tags=tags_of(request),
            attributes=attributes.listener_defaults(request["Protocol"]),
            load_balancer_arn=balancer.arn,
            protocol=request["Protocol"],
            port=request["Port"],
            forward=[],
        ),
        request,
    )
    for present in region.listeners_of(balancer.arn):
        if present.port == wanted.port:
            if _choices(present) != _choices(wanted):
                raise _port_taken(balancer)
            return {"Listeners": [described(present)]}
    if len(region.listeners_of(balancer.arn)) >= region.settings.listeners_limit:
        raise refuse("TooManyListeners", "You have reached the maximum number of listeners for this load balancer")
    region.listeners[arn] = wanted
    note_use(region, (group for group, _ in wanted.forward))
    return {"Listeners": [described(wanted)]}


def _port_taken(balancer: LoadBalancer) -> Exception:
    return refuse(
        "DuplicateListener", f"A listener already exists on this port for this load balancer '{balancer.arn}'"
    )


def _choices(listener: Listener) -> tuple[Any, ...]:
    return (
        listener.protocol,
        listener.forward,
        listener.ssl_policy,
        listener.certificate,
        listener.alpn,
    )


@operation("ModifyListener")
def modify(region: Region, request: Request) -> dict[str, Any]:
    """What is not named stays; without TLS there is neither certificate nor policy."""
    listener = listener_of(region, request["ListenerArn"])
    balancer = region.load_balancers[listener.load_balancer_arn]
    wanted = _changed(region, balancer, listener, request)
    others = [one for one in region.listeners_of(balancer.arn) if one is not listener]
    if any(one.port == wanted.port for one in others):
        raise _port_taken(balancer)
    before = listener.forward
    for name in ("protocol", "port", "forward", "ssl_policy", "certificate", "alpn", "attributes"):
        setattr(listener, name, getattr(wanted, name))
    note_use(region, (group for group, _ in [*before, *wanted.forward]))
    if listener.protocol != "TLS":
        listener.further_certificates = []
    return {"Listeners": [described(listener)]}


def _changed(region: Region, balancer: LoadBalancer, present: Listener, request: Request) -> Listener:
    """The listener that a create or modify call asks for, checked; the present one is not touched."""
    protocol = request.get("Protocol") or present.protocol
    if protocol not in PROTOCOLS:
        raise invalid(f"Listener protocol '{protocol}' must be one of '{', '.join(PROTOCOLS)}'")
    check_dual_stack(balancer.ip_address_type, balancer.ipv6_source_nat, protocol)
    actions = request.get("DefaultActions")
    forward = _forward(actions) if actions else present.forward
    if not forward:
        raise invalid("A default action must be specified")
    _check_groups(region, balancer, protocol, [group_of(region, arn) for arn, _ in forward])
    kept = present.attributes if protocol == present.protocol else attributes.listener_defaults(protocol)
    return Listener(
        arn=present.arn,
        tags=present.tags,
        attributes=dict(kept),
        load_balancer_arn=balancer.arn,
        protocol=protocol,
        port=request.get("Port") or present.port,
        forward=forward,
        **_tls(region, protocol, present, request),
    )


def _forward(actions: list[dict[str, Any]]) -> list[tuple[str, int]]:
    if len(actions) != 1 or actions[0].get("Type") != "forward":
        raise refuse("InvalidLoadBalancerAction", "Listeners of this load balancer have one action, of type 'forward'")
    groups = (actions[0].get("ForwardConfig") or {}).get("TargetGroups") or []
    if not groups:
        return [(actions[0].get("TargetGroupArn") or "", 1)]
    if len(groups) > 5:
        raise refuse("TooManyTargetGroups", "A forward action can have at most 5 target groups")
    return [(one["TargetGroupArn"], 1 if one.get("Weight") is None else one["Weight"]) for one in groups]


def _check_groups(region: Region, balancer: LoadBalancer, protocol: str, groups: list[TargetGroup]) -> None:
    for group in groups:
        if group.settings["Protocol"] not in FITTING[protocol]:
            raise refuse(
                "IncompatibleProtocols",
                f"The listener and its associated target group '{group.arn}' have incompatible protocols: "
                f"'{protocol}' and '{group.settings['Protocol']}'",
            )
        if group.settings["VpcId"] != balancer.vpc_id:
            raise not_configurable(f"The target group '{group.arn}' is not in the load balancer's VPC")
        if any(arn != balancer.arn for arn in region.load_balancers_of(group.arn)):
            raise refuse(
                "TargetGroupAssociationLimit",
                f"The following target groups cannot be associated with more than one load balancer: {group.arn}",
            )
        if group.settings["IpAddressType"] == "ipv6" and balancer.ip_address_type != "dualstack":
            raise not_configurable("Target groups of IP address type 'ipv6' need a dualstack load balancer")
        check_targets(region, balancer, {group.arn: group.targets})


def _tls(region: Region, protocol: str, present: Listener, request: Request) -> dict[str, Any]:
    certificates, policy = request.get("Certificates") or [], request.get("SslPolicy")
    alpn = request.get("AlpnPolicy") or []
    if protocol != "TLS":
        if certificates or policy or alpn:
            raise not_configurable(f"Certificates, SSL policies and ALPN policies are not supported for {protocol} listeners")
        return {}
    if len(certificates) > 1:
        raise invalid("Exactly one certificate must be specified")
    certificate = certificates[0].get("CertificateArn") if certificates else present.certificate
    if not certificate:
        raise invalid("A certificate must be specified for TLS listeners")
    check_certificate(region, certificate)
    policy = policy or present.ssl_policy or DEFAULT_SSL_POLICY
    if policy not in (one["name"] for one in SSL_POLICIES):
        raise refuse("SSLPolicyNotFound", f"SSL policy '{policy}' not found")
    if len(alpn) > 1:
        raise invalid("At most one ALPN policy can be specified")
    if alpn and alpn[0] not in ALPN_POLICIES:
        raise refuse("ALPNPolicyNotFound", f"ALPN policy '{alpn[0]}' not found")
    return {"certificate": certificate, "ssl_policy": policy, "alpn": alpn[0] if alpn else present.alpn}


def check_certificate(region: Region, arn: str) -> None:
    """Raises CertificateNotFound; see the setting `certificates`."""
    known = region.settings.certificates
    acm = rf"arn:aws:acm:{region.name}:{region.account_id}:certificate/[\w-]+"
    iam = rf"arn:aws:iam::{region.account_id}:server-certificate/.+"
    if arn not in known if known is not None else not re.fullmatch(f"{acm}|{iam}", arn):
        raise refuse("CertificateNotFound", f"Certificate '{arn}' not found")


def note_use(region: Region, groups: Iterable[str]) -> None:
    """Remembers since when each target group is used by a listener, which is when health checks begin."""
    for group in (region.target_groups[arn] for arn in set(groups) if arn in region.target_groups):
        if not region.load_balancers_of(group.arn):
            group.used_since = None
        elif group.used_since is None:
            group.used_since = time.monotonic()


@operation("DeleteListener")
def delete(region: Region, request: Request) -> dict[str, Any]:
    """Its target groups stay, and can be deleted then."""
    listener = listener_of(region, request["ListenerArn"])
    del region.listeners[listener.arn]
    note_use(region, (group for group, _ in listener.forward))
    return {}


@operation("DescribeListeners")
def describe(region: Region, request: Request) -> dict[str, Any]:
    """Those of a load balancer, or the named ones."""
    arns = request.get("ListenerArns") or []
    if not arns and not request.get("LoadBalancerArn"):
        raise invalid("You must specify either listener ARNs or a load balancer ARN")
    visible = [one for one in region.listeners.values() if region.is_visible(one)]
    if arns:
        found = [one for one in visible if one.arn in arns]
        if len(found) < len(set(arns)):
            raise refuse("ListenerNotFound", "One or more listeners not found")
    else:
        balancer = balancer_of(region, request["LoadBalancerArn"])
        if not region.is_visible(balancer):
            raise refuse("LoadBalancerNotFound", f"Load balancer '{balancer.arn}' not found")
        found = [one for one in visible if one.load_balancer_arn == balancer.arn]
    shown, following = page(found, request)
    return {"Listeners": [described(one) for one in shown], **following}


@operation("DescribeListenerAttributes")
def describe_attributes(region: Region, request: Request) -> dict[str, Any]:
    """All attributes of one."""
    return {"Attributes": attributes.described(listener_of(region, request["ListenerArn"]).attributes)}


@operation("ModifyListenerAttributes")
def modify_attributes(region: Region, request: Request) -> dict[str, Any]:
    """Those not named stay as they are."""
    listener = listener_of(region, request["ListenerArn"])
    attributes.change_listener(listener, request["Attributes"])
    return {"Attributes": attributes.described(listener.attributes)}


@operation("AddListenerCertificates")
def add_certificates(region: Region, request: Request) -> dict[str, Any]:
    """Adds to the list beside the default certificate; one that is in it already is no error."""
    listener = listener_of(region, request["ListenerArn"])
    if listener.protocol != "TLS":
        raise not_configurable(f"Certificates are not supported for {listener.protocol} listeners")
    wanted = [one.get("CertificateArn") or "" for one in request["Certificates"]]
    for arn in wanted:
        check_certificate(region, arn)
    after = list(dict.fromkeys([*listener.further_certificates, *wanted]))
    if len(after) > region.settings.certificates_limit:
        raise refuse("TooManyCertificates", "You have reached the maximum number of certificates for this listener")
    listener.further_certificates = after
    return {"Certificates": [{"CertificateArn": arn, "IsDefault": False} for arn in wanted]}


@operation("RemoveListenerCertificates")
def remove_certificates(region: Region, request: Request) -> dict[str, Any]:
    """The default certificate can only be replaced."""
    listener = listener_of(region, request["ListenerArn"])
    wanted = [one.get("CertificateArn") for one in request["Certificates"]]
    if any(arn == listener.certificate and arn not in listener.further_certificates for arn in wanted):
        raise refuse("OperationNotPermitted", "The default certificate can't be removed from a listener")
    listener.further_certificates = [arn for arn in listener.further_certificates if arn not in wanted]
    return {}


@operation("DescribeListenerCertificates")
def describe_certificates(region: Region, request: Request) -> dict[str, Any]:
    """The default one first, then the list."""
    listener = listener_of(region, request["ListenerArn"])
    default = [{"CertificateArn": listener.certificate, "IsDefault": True}] if listener.certificate else []
    further = [{"CertificateArn": arn, "IsDefault": False} for arn in listener.further_certificates]
    return {"Certificates": [*default, *further]}


def described(listener: Listener) -> dict[str, Any]:
    """As the API returns it; only the default certificate is shown."""
    action: dict[str, Any] = {
        "Type": "forward",
        "Order": 1,
        "ForwardConfig": {
            "TargetGroups": [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in listener.forward],
            "TargetGroupStickinessConfig": {"Enabled": False},
        },
    }
    if len(listener.forward) == 1:
        action["TargetGroupArn"] = listener.forward[0][0]
    return {
        "ListenerArn": listener.arn,
        "LoadBalancerArn": listener.load_balancer_arn,
        "Port": listener.port,
        "Protocol": listener.protocol,
        "DefaultActions": [action],
        **({"Certificates": [{"CertificateArn": listener.certificate}]} if listener.certificate else {}),
        **({"SslPolicy": listener.ssl_policy} if listener.ssl_policy else {}),
        **({"AlpnPolicy": [listener.alpn]} if listener.alpn else {}),
    }
