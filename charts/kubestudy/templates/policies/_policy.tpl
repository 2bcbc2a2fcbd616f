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
