"""Tokens for Amazon MSK: an address that is signed with the credentials of AWS.

Credentials come from where AWS's own tools find them: environment, profile, or the role of the machine.
"""

import logging
import os
import re
from importlib.util import find_spec

from streams.config.errors import BrokerError, SettingsError
from streams.config.logins.tokens import Token
from streams.config.settings import Secret, Settings

EXTRA = (
    "AWS_MSK_IAM needs AWS's signer: install thalweg with its extra, as in `pip install 'thalweg[msk]'`, or set "
    "broker_mechanism (THALWEG_BROKER_MECHANISM) to another mechanism"
)
# The host names of MSK's brokers, https://docs.aws.amazon.com/msk/latest/developerguide/msk-get-bootstrap-brokers.html
_REGION = re.compile(r"\.kafka(?:-serverless)?\.([a-z0-9-]+)\.amazonaws\.com")
_REGION_VARIABLES = ("AWS_REGION", "AWS_DEFAULT_REGION")


def fetch_token(settings: Settings) -> Token:
    """Sign a token. Blocks where AWS has to be asked for credentials.

    Raises SettingsError where the signer, the region or the credentials are missing, and BrokerError where AWS does not
    give the credentials.
    """
    if find_spec("aws_msk_iam_sasl_signer") is None:
        raise SettingsError(EXTRA)
    # Imported here because only this login needs the libraries, which take long to load.
    from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    # At level DEBUG, botocore logs what it signs, and with that the session's token and the signature.
    logging.getLogger("botocore").setLevel(logging.INFO)
    region = region_of(settings.broker)
    try:
        if Session().get_credentials() is None:
            raise SettingsError(
                "AWS_MSK_IAM finds no credentials of AWS: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a "
                "profile with AWS_PROFILE, or give this machine a role"
            )
        text, expires_ms = MSKAuthTokenProvider.generate_auth_token(region)
    except (BotoCoreError, ValueError) as error:
        raise BrokerError(f"the credentials of AWS cannot be used: {error}") from None
    return Token(Secret(text), expires_ms / 1000)


def region_of(broker: str) -> str:
    """The region of AWS in the brokers' host names, or in the environment. Raises SettingsError where there is none."""
    found = _REGION.search(broker)
    named = found.group(1) if found else next(filter(None, map(os.environ.get, _REGION_VARIABLES)), None)
    if named is None:
        raise SettingsError(
            f"AWS_MSK_IAM needs the region of the brokers: the host names in broker (THALWEG_BROKER) = {broker!r} name "
            "no region, so set AWS_REGION"
        )
    return named
