{{- /* What a pod template may not ask for, in CEL: as in controller/kubestudy/core/pod_security.py. */ -}}

{{- /* The variables that its rules are written with; `template` is defined before them. */ -}}
{{- define "kubestudy.podVariables" -}}
- name: pod
  expression: variables.template.?spec.orValue({})
- name: containers
  expression: variables.pod.?containers.orValue([]) + variables.pod.?initContainers.orValue([])
- name: securityContexts
  expression: >-
    [variables.pod.?securityContext.orValue({})]
    + variables.containers.map(c, c.?securityContext.orValue({}))
- name: volumes
  expression: variables.pod.?volumes.orValue([])
- name: annotations
  expression: variables.template.?metadata.?annotations.orValue({})
- name: nodeTerms
  expression: >-
    variables.pod.?affinity.?nodeAffinity.?requiredDuringSchedulingIgnoredDuringExecution
    .?nodeSelectorTerms.orValue([])
    + variables.pod.?affinity.?nodeAffinity.?preferredDuringSchedulingIgnoredDuringExecution
    .orValue([]).map(t, t.?preference.orValue({}))
{{- end -}}

{{- /* The rules. Of a dict: `root`, and the `path` of the template for the messages. */ -}}
{{- define "kubestudy.podValidations" -}}
{{- $allow := .root.Values.policies.allow -}}
{{- $path := .path -}}
- expression: "!has(variables.pod.nodeName)"
  message: "{{ $path }}.spec.nodeName: would go past the scheduler; use nodeSelector or affinity"
{{- if not $allow.nodeChoice }}
- expression: >-
    !('kubernetes.io/hostname' in variables.pod.?nodeSelector.orValue({}))
    && variables.nodeTerms.all(t, t.?matchFields.orValue([]) == []
    && t.?matchExpressions.orValue([]).all(e, !(e.key == 'kubernetes.io/hostname' || e.key.contains('${'))))
  message: "{{ $path }}.spec: nodeSelector and nodeAffinity must not name a node, by kubernetes.io/hostname or matchFields; use another label (policies.allow.nodeChoice)"
{{- end }}
{{- if not $allow.hostNamespaces }}
- expression: >-
    ['hostNetwork', 'hostPID', 'hostIPC'].all(f, !(f in variables.pod) || variables.pod[f] == false)
    && variables.containers.all(c, c.?ports.orValue([]).all(p, !has(p.hostPort) || p.hostPort == 0)
    && [c.?livenessProbe, c.?readinessProbe, c.?startupProbe, c.?lifecycle.?postStart, c.?lifecycle.?preStop]
    .all(h, h.?httpGet.?host.orValue('') == '' && h.?tcpSocket.?host.orValue('') == ''))
  message: "{{ $path }}.spec: hostNetwork, hostPID, hostIPC, hostPort and the host of a probe or lifecycle handler are not allowed here (policies.allow.hostNamespaces)"
{{- end }}
{{- if not $allow.hostPath }}
- expression: variables.volumes.all(v, !has(v.hostPath))
  message: "{{ $path }}.spec.volumes: hostPath is not allowed here (policies.allow.hostPath)"
{{- end }}
- expression: >-
    variables.volumes.all(v, v.all(k, k in ['name', 'hostPath', {{ include "kubestudy.volumes" $ | replace "\n" " " }}]))
  message: "{{ $path }}.spec.volumes: must be of a kind that is known here: {{ include "kubestudy.volumes" $ | replace "\n" " " | replace "'" "" }}"
{{- if not $allow.privileged }}
- expression: >-
    variables.securityContexts.all(s,
    (!has(s.privileged) || s.privileged == false)
    && s.?capabilities.?add.orValue([]).all(a, a in [{{ include "kubestudy.capabilities" $ | replace "\n" " " }}])
    && s.?procMount.orValue('Default') == 'Default'
    && (!has(s.seccompProfile) || s.seccompProfile.?type.orValue('') in ['RuntimeDefault', 'Localhost'])
    && (!has(s.appArmorProfile) || s.appArmorProfile.?type.orValue('') in ['RuntimeDefault', 'Localhost'])
    && s.?windowsOptions.?hostProcess.orValue(false) == false
    && s.?seLinuxOptions.?type.orValue('') in ['', 'container_t', 'container_init_t', 'container_kvm_t', 'container_engine_t']
    && s.?seLinuxOptions.?user.orValue('') == '' && s.?seLinuxOptions.?role.orValue('') == ''
    && s.?sysctls.orValue([]).all(c, c.name in [{{ include "kubestudy.sysctls" $ | replace "\n" " " }}]))
    && variables.annotations.all(k, !k.startsWith('container.apparmor.security.beta.kubernetes.io/')
    || variables.annotations[k] in ['', 'runtime/default'] || variables.annotations[k].startsWith('localhost/'))
  message: "{{ $path }}.spec: containers must not be privileged, add capabilities beyond a runtime's own, unmask /proc, go without seccomp or AppArmor, be host processes, or set SELinux users, roles and types or sysctls beyond Pod Security baseline (policies.allow.privileged)"
{{- end }}
- expression: >-
    ['serviceAccountName', 'serviceAccount'].all(f,
    !(f in variables.pod) || variables.pod[f] in {{ prepend $allow.serviceAccounts "default" | toJson }})
  message: "{{ $path }}.spec.serviceAccountName: must be one of {{ prepend $allow.serviceAccounts "default" | join ", " }} (policies.allow.serviceAccounts)"
{{- if not $allow.serviceAccountToken }}
- expression: >-
    (!has(variables.pod.automountServiceAccountToken) || variables.pod.automountServiceAccountToken == false)
    && variables.volumes.all(v, v.?projected.?sources.orValue([])
    .all(s, s.all(k, k in ['clusterTrustBundle', 'configMap', 'downwardAPI', 'secret'])))
  message: "{{ $path }}.spec: automountServiceAccountToken, and projected sources besides clusterTrustBundle, configMap, downwardAPI and secret, are not allowed here (policies.allow.serviceAccountToken)"
{{- end }}
{{- end -}}

{{- /* CEL: what a container may add; as in controller/kubestudy/core/pod_security.py. */ -}}
{{- define "kubestudy.capabilities" -}}
'AUDIT_WRITE', 'CHOWN', 'DAC_OVERRIDE', 'FOWNER', 'FSETID', 'KILL', 'MKNOD', 'NET_BIND_SERVICE',
'SETFCAP', 'SETGID', 'SETPCAP', 'SETUID', 'SYS_CHROOT'
{{- end -}}

{{- /* CEL: the sysctls of the pod's own namespaces; as there. */ -}}
{{- define "kubestudy.sysctls" -}}
'kernel.shm_rmid_forced', 'net.ipv4.ip_local_port_range', 'net.ipv4.tcp_syncookies',
'net.ipv4.ping_group_range', 'net.ipv4.ip_unprivileged_port_start',
'net.ipv4.ip_local_reserved_ports', 'net.ipv4.tcp_keepalive_time', 'net.ipv4.tcp_fin_timeout',
'net.ipv4.tcp_keepalive_intvl', 'net.ipv4.tcp_keepalive_probes', 'net.ipv4.tcp_rmem',
'net.ipv4.tcp_wmem'
{{- end -}}

{{- /* CEL: the kinds of volumes that do not reach the node's own files; as there. */ -}}
{{- define "kubestudy.volumes" -}}
'awsElasticBlockStore', 'azureDisk', 'azureFile', 'cephfs', 'cinder', 'configMap', 'csi',
'downwardAPI', 'emptyDir', 'ephemeral', 'fc', 'flexVolume', 'gcePersistentDisk', 'glusterfs',
'image', 'iscsi', 'nfs', 'persistentVolumeClaim', 'portworxVolume', 'projected', 'quobyte', 'rbd',
'scaleIO', 'secret', 'storageos', 'vsphereVolume'
{{- end -}}
