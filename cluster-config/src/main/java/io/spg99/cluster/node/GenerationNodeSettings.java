package io.spg99.cluster.node;

import java.nio.file.Path;

/**
 * A node that runs generations of Database actors that are on other nodes.
 *
 * @param member    its one role is {@link Role#GENERATION}; there is at least one seed
 * @param directory for what PostgreSQL touches, which its user can reach; this node's own
 * @param pki       directory of the platform's certificate authority
 * @param objects   the object storage, if that is a directory
 */
public record GenerationNodeSettings(MemberSettings member, Path directory, Path pki, Path objects) {}
