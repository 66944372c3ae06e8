# the plan cannot be written as samba-tool: samba-tool cannot write a whole security descriptor, which HV01$ had
