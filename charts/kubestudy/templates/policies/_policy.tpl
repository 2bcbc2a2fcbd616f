{{- /* A binding of a policy, in the namespaces whose Studies are run. */ -}}
{{- define "kubestudy.binding" -}}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: {{ .name }}
  labels:
    {{- include "kubestudy.labels" .root | nindent 4 }}
spec:
  policyName: {{ .name }}
  validationActions: [Deny]
  {{- with .root.Values.namespaces }}
  matchResources:
    namespaceSelector:
      matchExpressions:
        - key: kubernetes.io/metadata.name
          operator: In
          values:
            {{- toYaml . | nindent 12 }}
  {{- end }}
{{- end -}}

{{- /* CEL: whether a request comes from the controller, or from those who may do anything anyway. */ -}}
{{- define "kubestudy.trusted" -}}
request.userInfo.username in {{ concat (list (include "kubestudy.user" .)) .Values.policies.trialWriters | toJson }}
  || 'system:masters' in request.userInfo.groups
{{- end -}}

{{- /* CEL: whether garbage collection asks, which changes owners; it may have no account of its own. */ -}}
{{- define "kubestudy.collector" -}}
request.userInfo.username in ['system:serviceaccount:kube-system:generic-garbage-collector', 'system:kube-controller-manager']
{{- end -}}

{{- /* CEL: whether the Job controller asks, which makes the pods. */ -}}
{{- define "kubestudy.jobController" -}}
request.userInfo.username in ['system:serviceaccount:kube-system:job-controller', 'system:kube-controller-manager']
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
