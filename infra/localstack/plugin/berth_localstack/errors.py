"""Refusals with the codes of the real services."""

from localstack.aws.api import CommonServiceException


def refuse(code: str, message: str, status: int = 400) -> CommonServiceException:
    """The error to raise; `code` is the one of the API reference (or of its "Common Errors")."""
    return CommonServiceException(code, message, status_code=status, sender_fault=status < 500)


def invalid(message: str) -> CommonServiceException:
    """ValidationError: the parameters contradict themselves or the API's rules."""
    return refuse("ValidationError", message)


def not_configurable(message: str) -> CommonServiceException:
    """InvalidConfigurationRequest: each parameter is fine, the wanted configuration is not."""
    return refuse("InvalidConfigurationRequest", message)
