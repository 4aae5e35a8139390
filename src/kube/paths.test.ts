import { describe, expect, it } from 'vitest';
import { describePath, resourcePath, verbOf } from './paths.ts';

describe('describePath', () => {
  it.each([
    ['/api/v1/services', 'services', '', '', '', 'list'],
    ['/api/v1/namespaces/a/services', 'services', '', 'a', '', 'list'],
    ['/api/v1/namespaces/a/services/b', 'services', '', 'a', 'b', 'get'],
    ['/api/v1/namespaces/a/services/b/status', 'services', 'status', 'a', 'b', 'get'],
    ['/api/v1/namespaces/kube-system', 'namespaces', '', '', 'kube-system', 'get'],
    ['/api/v1/namespaces/a/status', 'namespaces', 'status', '', 'a', 'get'],
    ['/api/v1/nodes/n', 'nodes', '', '', 'n', 'get'],
    ['/apis/coordination.k8s.io/v1/namespaces/a/leases/b', 'leases', '', 'a', 'b', 'get'],
    ['/api/v1/namespaces/a/pods/p%3A80/proxy/api/plan', 'pods', 'proxy', 'a', 'p:80', 'get'],
    ['/version', '', '', '', '', 'get'],
  ])('takes %s apart', (...row) => {
    const [path, resource, subresource, namespace, name, verb] = row;
    const parts = describePath(path);
    expect(parts).toEqual({ resource, subresource, namespace, name });
    expect(verbOf('GET', parts, false)).toBe(verb);
  });

  it('names verbs as RBAC does', () => {
    const parts = describePath('/api/v1/services');
    expect(verbOf('GET', parts, true)).toBe('watch');
    expect(verbOf('POST', parts, false)).toBe('create');
    expect(verbOf('PUT', parts, false)).toBe('update');
    expect(verbOf('PATCH', parts, false)).toBe('patch');
    expect(verbOf('DELETE', parts, false)).toBe('delete');
  });

  it('understands what resourcePath makes', () => {
    const path = resourcePath('/api/v1', 'pods', { namespace: 'a b', name: 'p:80', subresource: 'proxy' });
    expect(describePath(path)).toEqual({
      resource: 'pods',
      subresource: 'proxy',
      namespace: 'a b',
      name: 'p:80',
    });
    expect(resourcePath('/api/v1', 'nodes')).toBe('/api/v1/nodes');
  });
});
