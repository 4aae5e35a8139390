"""LocalStack plug-in of Berth's tests: ELBv2 as it behaves for Network Load Balancers, on moto's EC2.

LocalStack's free edition has no ELBv2, and moto's is made for Application Load Balancers: it keys targets by instance
alone, has neither health nor draining nor network interfaces, and knows few of the limits. So the operations that a
provider of NLBs uses are served from this package's own state, which stands on moto's subnets, security groups,
instances, interfaces and addresses; every other operation of ELBv2 is moto's.
"""
